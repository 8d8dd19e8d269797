"""AUTOMATIC1111's WebUI, Forge and relatives: servers that speak `/sdapi/v1`."""
