"""Settings of the subscription at C2S, whose spelling differs between its documents."""

from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings


class Subscription(BaseSettings):
    """The subscription."""

    c2s_subscribe_path: str = Field(
        "/integration/leads/subscribe",
        pattern="^/",
        description="path of `c2s subscribe` (also /integration/api/subscribe)",
    )
    c2s_unsubscribe_path: str = Field(
        "/integration/api/unsubscribe",
        pattern="^/",
        description="path of `c2s unsubscribe` (the plan: /integration/leads/subscribe)",
    )
    c2s_unsubscribe_method: Literal["POST", "DELETE"] = Field(
        "POST", description="its method: POST, once per action, or DELETE (the plan), once for all"
    )
