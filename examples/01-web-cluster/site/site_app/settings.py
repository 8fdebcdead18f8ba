"""Settings of the example site. What differs between servers lies in files beside it, put there by the operations."""

import os
from pathlib import Path

BASE = Path(__file__).resolve().parent.parent

SECRET_KEY = (BASE / "secret.txt").read_text()
ALLOWED_HOSTS = ["*"]
ROOT_URLCONF = "site_app.urls"
GREETING = (BASE / "greeting.txt").read_text()
SERVER = (BASE / "server.txt").read_text().strip()

DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.postgresql",
        "HOST": os.environ["DB_HOST"],
        "PORT": os.environ["DB_PORT"],
        "NAME": os.environ["DB_NAME"],
        "USER": os.environ["DB_USER"],
        "PASSWORD": os.environ["DB_PASSWORD"],
        "CONN_MAX_AGE": 60,
    }
}
USE_TZ = True
