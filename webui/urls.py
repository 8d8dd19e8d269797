from django.urls import path

import webui.pages.sent  # noqa: F401 - registers <id:...>
from webui.pages import configuration, node, node_catalog

urlpatterns = [
    path("nodes/attach/", configuration.node_attach, name="node-attach"),
    path("nodes/test/", configuration.node_test, name="node-test"),
    path("nodes/<id:node_id>/", node.node, name="node"),
    path("nodes/<id:node_id>/catalog/", node_catalog.node_catalog, name="node-catalog"),
    path("nodes/<id:node_id>/catalog/read/", node_catalog.node_catalog_read, name="node-catalog-read"),
    path("nodes/<id:node_id>/edit/", configuration.node_edit, name="node-edit"),
    path("nodes/<id:node_id>/history/", node.node_boots, name="node-boots"),
    path("nodes/<id:node_id>/log/", node.node_log, name="node-log"),
    path("nodes/<id:node_id>/wish/", node.node_wish, name="node-wish"),
    path("nodes/<id:node_id>/take-back/", node.node_take_back, name="node-take-back"),
]
