"""The events, with their schemas, and the tables that other teams deliver into the lake."""

from adfeast.feast_ext.sources import event_source, lake_table, optional

impressions = event_source(
    "impressions",
    {
        "request_id": "string",
        "user_id": "string",
        "ad_id": "string",
        "position": "int",
        "placement": "string",
        "attempt_id": optional("string", ""),  # of the answer that was shown: its snapshot is what the label joins
    },
    description="ads that were shown",
)

clicks = event_source(
    "clicks",
    {"impression_id": "string", "request_id": "string", "user_id": "string", "ad_id": "string"},
    description="ads that were clicked",
)

users = lake_table("users", "users as the identity team delivers them, one row a user and delivery")
ads = lake_table("ads", "ads as the catalogue team delivers them, with a content embedding")
