"""Read models of the pages: frozen values, each made with a constant number of queries. Nothing here writes."""
