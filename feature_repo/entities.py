"""Who sees an ad, and what is shown."""

from feast import Entity, ValueType

user = Entity(name="user", join_keys=["user_id"], value_type=ValueType.STRING, description="somebody who sees ads")
ad = Entity(name="ad", join_keys=["ad_id"], value_type=ValueType.STRING, description="something that can be shown")
