"""MLflow's tracking server and model registry over SQLite."""

from __future__ import annotations

from infra.local.platform.home import Home, program
from infra.local.platform.part import Part
from infra.local.platform.ports import Ports
from infra.local.platform.web import ask


def mlflow(home: Home, ports: Ports) -> Part:
    """Ready when the database behind it answers a search."""
    port, data = ports.get("mlflow"), home.data("mlflow")
    url = f"http://127.0.0.1:{port}"

    def check() -> None:
        ask(f"{url}/health")
        ask(f"{url}/api/2.0/mlflow/experiments/search", {"max_results": 1})

    return Part(
        name="mlflow",
        command=[
            *(program("mlflow"), "server", "--host", "127.0.0.1", "--port", str(port), "--workers", "1"),
            *("--backend-store-uri", f"sqlite:///{data}/mlflow.db", "--artifacts-destination", str(data / "artifacts")),
            *("--allowed-hosts", f"127.0.0.1:{port},localhost:{port}"),
        ],
        # Its job runner would keep four more Python processes.
        environment={
            "MLFLOW_DISABLE_TELEMETRY": "true",
            "DO_NOT_TRACK": "true",
            "MLFLOW_SERVER_ENABLE_JOB_EXECUTION": "false",
            "MLFLOW_TRACKING_URI": "",
        },
        check=check,
        prepare=lambda: data.mkdir(parents=True, exist_ok=True),
        address=url,
        ui=url,
        settings={"mlflow_url": url},
    )
