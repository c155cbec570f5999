"""Batch features: one Spark SQL query a view, computed from the lake and materialized into DynamoDB."""

from feast.types import Array, Float32, Int64

from adfeast.feast_ext.declare import batch_view, days, feature
from entities import ad, user

SMOOTHING = "(clicks + 1.0) / (impressions + 200.0)"  # shrinks a rate towards 0.5 % while there are few impressions

user_profile = batch_view(
    "user_profile",
    entity=user,
    query="""
        SELECT user_id, hash_id(user_id) AS user_key, hash_id(campaign) AS user_campaign,
               hash_id(segment_0) AS segment_0, hash_id(segment_1) AS segment_1,
               hash_id(segment_2) AS segment_2, hash_id(segment_3) AS segment_3
        FROM users WHERE event_timestamp <= :as_of
        QUALIFY row_number() OVER (PARTITION BY user_id ORDER BY event_timestamp DESC, created_timestamp DESC) = 1
    """,
    features=[
        feature("user_key", Int64, "sparse", hash_size=16384, description="the user, as an id the model can learn"),
        feature("user_campaign", Int64, "sparse", hash_size=16, description="campaign in which the user is seen"),
        feature("segment_0", Int64, "sparse", hash_size=64, description="hashed user attribute 0"),
        feature("segment_1", Int64, "sparse", hash_size=64, description="hashed user attribute 1"),
        feature("segment_2", Int64, "sparse", hash_size=64, description="hashed user attribute 2"),
        feature("segment_3", Int64, "sparse", hash_size=64, description="hashed user attribute 3"),
    ],
    max_age=days(30),
    tier="dynamodb",
    description="who a user is",
)

user_history = batch_view(
    "user_history",
    entity=user,
    query=f"""
        WITH hashed AS (
            SELECT user_id, -unix_millis(event_timestamp) AS age, event_id, hash_id(ad_id) AS ad_key FROM impressions
            WHERE event_timestamp > :as_of - INTERVAL 7 DAYS AND event_timestamp <= :as_of
        ), shown AS (
            SELECT user_id, count(*) AS impressions, slice(
                       transform(array_sort(collect_list(struct(age, event_id, ad_key))), x -> x.ad_key), 1, 10
                   ) AS recent_ads
            FROM hashed GROUP BY user_id
        ), clicked AS (
            SELECT user_id, count(*) AS clicks FROM clicks
            WHERE event_timestamp > :as_of - INTERVAL 7 DAYS AND event_timestamp <= :as_of GROUP BY user_id
        )
        SELECT user_id, impressions AS user_impressions_7d, coalesce(clicks, 0) AS user_clicks_7d,
               CAST({SMOOTHING.replace("clicks", "coalesce(clicks, 0)")} AS FLOAT) AS user_ctr_7d, recent_ads
        FROM shown LEFT JOIN clicked USING (user_id)
    """,
    features=[
        feature("user_impressions_7d", Int64, "dense", default=0, transform="log1p", description="shown in 7 days"),
        feature("user_clicks_7d", Int64, "dense", default=0, transform="log1p", description="clicked in 7 days"),
        feature("user_ctr_7d", Float32, "dense", default=0.005, description="smoothed click rate of 7 days"),
        feature(
            "recent_ads", Array(Int64), "list", hash_size=1024, max_len=10, description="ads shown last, newest first"
        ),
    ],
    max_age=days(2),
    tier="dynamodb",
    description="what a user was shown and clicked in the last days",
)

ad_catalogue = batch_view(
    "ad_catalogue",
    entity=ad,
    query="""
        SELECT ad_id, hash_id(ad_id) AS ad_key, hash_id(campaign) AS ad_campaign,
               CAST(item_score AS FLOAT) AS item_score,
               hash_id(category_1) AS category_1, hash_id(category_2) AS category_2, hash_id(category_3) AS category_3,
               embedding AS content_embedding
        FROM ads WHERE event_timestamp <= :as_of
        QUALIFY row_number() OVER (PARTITION BY ad_id ORDER BY event_timestamp DESC, created_timestamp DESC) = 1
    """,
    features=[
        feature("ad_key", Int64, "sparse", hash_size=1024, description="the ad, as an id the model can learn"),
        feature("ad_campaign", Int64, "sparse", hash_size=16, description="campaign the ad belongs to"),
        feature(
            "item_score", Float32, "dense", default=0, description="numeric item attribute, standardised at source"
        ),
        feature("category_1", Int64, "sparse", hash_size=64, description="hashed item attribute 1"),
        feature("category_2", Int64, "sparse", hash_size=64, description="hashed item attribute 2"),
        feature("category_3", Int64, "sparse", hash_size=64, description="hashed item attribute 3"),
        feature("content_embedding", Array(Float32), "embedding", dim=128, description="content of the ad"),
    ],
    max_age=days(30),
    tier="dynamodb",
    description="what an ad is",
)

ad_history = batch_view(
    "ad_history",
    entity=ad,
    query=f"""
        WITH shown AS (
            SELECT ad_id, count(*) AS impressions FROM impressions
            WHERE event_timestamp > :as_of - INTERVAL 7 DAYS AND event_timestamp <= :as_of GROUP BY ad_id
        ), clicked AS (
            SELECT ad_id, count(*) AS clicks FROM clicks
            WHERE event_timestamp > :as_of - INTERVAL 7 DAYS AND event_timestamp <= :as_of GROUP BY ad_id
        )
        SELECT ad_id, impressions AS ad_impressions_7d, coalesce(clicks, 0) AS ad_clicks_7d,
               CAST({SMOOTHING.replace("clicks", "coalesce(clicks, 0)")} AS FLOAT) AS ad_ctr_7d
        FROM shown LEFT JOIN clicked USING (ad_id)
    """,
    features=[
        feature("ad_impressions_7d", Int64, "dense", default=0, transform="log1p", description="shown in 7 days"),
        feature("ad_clicks_7d", Int64, "dense", default=0, transform="log1p", description="clicked in 7 days"),
        feature("ad_ctr_7d", Float32, "dense", default=0.005, description="smoothed click rate of 7 days"),
    ],
    max_age=days(2),
    tier="dynamodb",
    description="how an ad did in the last days",
)
