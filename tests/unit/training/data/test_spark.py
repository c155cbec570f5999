"""A session is as large as the settings say, and where they say."""

import pytest

from adfeast.errors import SettingsError
from adfeast.settings import Settings, settings_over
from training.data.spark import session_options

SIZED = {
    "spark_master": "spark://master:7077",
    "spark_driver_host": "jobs",
    "spark_driver_memory": "2g",
    "spark_executor_memory": "8g",
    "spark_executor_cores": 4,
    "spark_max_cores": 32,
    "spark_shuffle_partitions": 200,
}


def test_the_sizes_of_the_settings_are_those_of_the_session():
    options = session_options(Settings(**SIZED))
    said = {
        "spark.master": "spark://master:7077",
        "spark.driver.host": "jobs",
        "spark.driver.memory": "2g",
        "spark.executor.memory": "8g",
        "spark.executor.cores": "4",
        "spark.cores.max": "32",
        "spark.sql.shuffle.partitions": "200",
    }
    assert options.items() >= said.items()
    assert "spark.local.dir" not in options, "the driver's folder is not there on another machine"


def test_what_spark_submit_says_is_not_overruled():
    options = session_options(Settings(spark_master=None))
    assert not {"spark.master", "spark.driver.memory", "spark.executor.memory"} & options.keys()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("spark_master", "master:7077"),
        ("spark_executor_memory", "8 GB"),
        ("spark_driver_memory", "0g"),
        ("spark_max_cores", 0),
        ("spark_shuffle_partitions", 0),
    ],
)
def test_a_size_that_spark_would_not_understand_is_refused_by_name(name, value):
    with pytest.raises(SettingsError, match=name):
        settings_over(**{name: value})
