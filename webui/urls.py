from django.urls import path

from webui.pages import configuration, node

urlpatterns = [
    path("nodes/attach/", configuration.node_attach, name="node-attach"),
    path("nodes/test/", configuration.node_test, name="node-test"),
    path("nodes/<int:node_id>/", node.node, name="node"),
    path("nodes/<int:node_id>/edit/", configuration.node_edit, name="node-edit"),
    path("nodes/<int:node_id>/history/", node.node_boots, name="node-boots"),
    path("nodes/<int:node_id>/log/", node.node_log, name="node-log"),
    path("nodes/<int:node_id>/wish/", node.node_wish, name="node-wish"),
    path("nodes/<int:node_id>/take-back/", node.node_take_back, name="node-take-back"),
]
