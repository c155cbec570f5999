"""The events, with their schemas, and the tables that other teams deliver into the lake."""

from adfeast.feast_ext.declare import event_schema, lake_table

IMPRESSIONS = "impressions"
IMPRESSION = event_schema(
    "Impression",
    {"request_id": "string", "user_id": "string", "ad_id": "string", "position": "int", "placement": "string"},
)

CLICKS = "clicks"
CLICK = event_schema(
    "Click", {"impression_id": "string", "request_id": "string", "user_id": "string", "ad_id": "string"}
)

users = lake_table("users", "tables", "users as the identity team delivers them, one row a user and delivery")
ads = lake_table("ads", "tables", "ads as the catalogue team delivers them, with a content embedding")
