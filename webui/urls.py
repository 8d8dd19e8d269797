from django.urls import path

from webui import configuration_views, views

urlpatterns = [
    path("nodes/attach/", configuration_views.node_attach, name="node-attach"),
    path("nodes/test/", configuration_views.node_test, name="node-test"),
    path("nodes/<int:node_id>/", views.node, name="node"),
    path("nodes/<int:node_id>/edit/", configuration_views.node_edit, name="node-edit"),
    path("nodes/<int:node_id>/history/", views.node_boots, name="node-boots"),
    path("nodes/<int:node_id>/log/", views.node_log, name="node-log"),
    path("nodes/<int:node_id>/wish/", views.node_wish, name="node-wish"),
    path("nodes/<int:node_id>/take-back/", views.node_take_back, name="node-take-back"),
]
