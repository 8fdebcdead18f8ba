from django.conf import settings
from django.db import connection
from django.http import HttpResponse
from django.urls import path


def page(request):
    """Say which server answered and read a row from the shared database."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT text FROM motto WHERE id = 1")
        (motto,) = cursor.fetchone()
    return HttpResponse(
        f"{settings.GREETING}\nanswered by {settings.SERVER}\nfrom the database: {motto}\n",
        content_type="text/plain; charset=utf-8",
    )


urlpatterns = [path("", page)]
