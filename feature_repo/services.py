"""What is logged, in order, and what a new model may take. Views are taken whole: what is added to one is logged."""

from adfeast.feast_ext.declare import feature_service
from batch_views import ad_catalogue, ad_history, user_history, user_profile
from request_features import auction
from stream_views import ad_click_activity, ad_impression_activity, user_click_activity, user_impression_activity

ctr_v1 = feature_service(
    "ctr_v1",
    views=[
        user_profile,
        user_history,
        user_impression_activity,
        user_click_activity,
        ad_catalogue,
        ad_history,
        ad_impression_activity,
        ad_click_activity,
    ],
    request=auction,
    description="inputs of the click model: probability of a click given an impression",
)
