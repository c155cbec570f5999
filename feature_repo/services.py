"""The inputs of each model, in order. Views are taken whole: a feature added to a view is added to its models."""

from feast import FeatureService

from batch_views import ad_catalogue, ad_history, user_history, user_profile
from request_features import auction
from stream_views import ad_click_activity, ad_impression_activity, user_click_activity, user_impression_activity

ctr_v1 = FeatureService(
    name="ctr_v1",
    features=[
        user_profile,
        user_history,
        user_impression_activity,
        user_click_activity,
        ad_catalogue,
        ad_history,
        ad_impression_activity,
        ad_click_activity,
    ],
    tags={"request_source": auction.name},
    description="inputs of the click model: probability of a click given an impression",
)
