from django.urls import path

from webui import views

urlpatterns = [
    path("nodes/strip/", views.strip, name="node-strip"),
    path("nodes/<int:node_id>/", views.node, name="node"),
    path("nodes/<int:node_id>/log/", views.node_log, name="node-log"),
    path("nodes/<int:node_id>/wish/", views.node_wish, name="node-wish"),
    path("nodes/<int:node_id>/take-back/", views.node_take_back, name="node-take-back"),
]
