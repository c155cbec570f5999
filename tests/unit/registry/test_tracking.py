"""An MLflow that is not there is named, with what to do."""

import socket

import pytest

from adfeast.settings import Settings
from registry.errors import RegistryError
from registry.tracking import client


def test_an_mlflow_that_does_not_answer_is_named() -> None:
    with socket.socket() as nobody:
        nobody.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{nobody.getsockname()[1]}"
    with pytest.raises(RegistryError, match=rf"MLflow at {url} does not answer"):
        client(Settings(mlflow_url=url))
