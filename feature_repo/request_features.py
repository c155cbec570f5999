"""What the ad server says of an auction."""

from feast.types import Int64, String

from adfeast.feast_ext.declare import feature, request_source

auction = request_source(
    "auction",
    features=[
        feature("placement", String, "sparse", hash_size=64, description="slot on the page"),
        feature("device", String, "sparse", hash_size=64, description="kind of device"),
        feature("hour_of_day", Int64, "sparse", hash_size=32, description="0 to 23, the user's local hour"),
        feature(
            "page_hash",
            Int64,
            "sparse",
            hash_size=4096,
            alias="page_url_hash",
            description="id of the page, hashed by the ad server",
        ),
    ],
    description="what the caller of Predict knows of the auction",
)
