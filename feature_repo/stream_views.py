"""Real-time features: sawtooth windows over events (docs/semantics.md), kept by Flink, read from Redis."""

from adfeast.feast_ext.declare import days, hours, minutes, seconds, stream_view, windowed
from entities import ad, user
from sources import clicks, impressions

user_impression_activity = stream_view(
    "user_impression_activity",
    entity=user,
    events=impressions,
    features=[
        windowed("impressions_5m", "count", "event_id", minutes(5), seconds(10)),
        windowed("impressions_1h", "count", "event_id", hours(1), minutes(1)),
        windowed("session_depth", "session_count", "event_id", minutes(30)),
    ],
    max_age=days(1),
    description="what a user was shown in the last minutes",
)

user_click_activity = stream_view(
    "user_click_activity",
    entity=user,
    events=clicks,
    features=[
        windowed("clicks_5m", "count", "event_id", minutes(5), seconds(10)),
        windowed("clicks_1h", "count", "event_id", hours(1), minutes(1)),
    ],
    max_age=days(1),
    description="what a user clicked in the last minutes",
)

ad_impression_activity = stream_view(
    "ad_impression_activity",
    entity=ad,
    events=impressions,
    features=[
        windowed("ad_impressions_5m", "count", "event_id", minutes(5), seconds(10)),
        windowed("ad_impressions_1h", "count", "event_id", hours(1), minutes(1)),
    ],
    max_age=days(1),
    description="how often an ad was shown in the last minutes",
)

ad_click_activity = stream_view(
    "ad_click_activity",
    entity=ad,
    events=clicks,
    features=[
        windowed("ad_clicks_5m", "count", "event_id", minutes(5), seconds(10)),
        windowed("ad_clicks_1h", "count", "event_id", hours(1), minutes(1)),
    ],
    max_age=days(1),
    description="how often an ad was clicked in the last minutes",
)
