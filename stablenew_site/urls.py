"""Addresses of the whole site; each app keeps its own."""

from django.contrib import admin
from django.contrib.auth.views import LogoutView
from django.urls import include, path

from stablenew_site import views

handler400 = "stablenew_site.views.bad_request"
handler500 = "stablenew_site.page_limit.failed"

admin.autodiscover()

urlpatterns = [
    path("", include("jobs.urls")),
    path("", include("webui.urls")),
    path("", include("diagnostics.urls")),
    path("accounts/login/", views.SignInView.as_view(), name="login"),
    path("accounts/logout/", LogoutView.as_view(), name="logout"),
    path("admin/login/", views.admin_sign_in, name="admin-login"),
    path("admin/", admin.site.urls),
    path("robots.txt", views.robots, name="robots"),
]
