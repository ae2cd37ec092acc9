"""Settings of alerts: thresholds (an alert opens above them), channels, the heartbeat."""

from pydantic import Field, SecretStr
from pydantic_settings import BaseSettings

from ops.settings.kinds import NO_SECRET, Seconds


class Alerts(BaseSettings):
    """Alerts."""

    alert_every: Seconds = Field(120.0, description="time between the active projector's checks; 0 = none")
    alert_window: Seconds = Field(3600.0, description="how far back counts and rates of alerts look")
    alert_retries: int = Field(3, ge=0, description="alert above so many failed attempts of an event")
    alert_c2s_failures: int = Field(0, ge=0, description="alert above so many events that failed at C2S")
    alert_duplicate_rate: float = Field(0.2, ge=0, le=1, description="alert above this share of repeats")
    alert_duplicates_least: int = Field(
        20, ge=1, description="no alert about repeats below so many webhooks in the window"
    )
    alert_dead_letters: int = Field(0, ge=0, description="alert above so many dead letters")
    alert_oldest: Seconds = Field(900.0, description="alert when an event waits longer for its end")
    alert_lag: Seconds = Field(120.0, description="alert when the record is further behind the streams")
    alert_silence_factor: float = Field(
        3.0,
        gt=0,
        description="alert when no webhook came for so many times the usual gap of hour and weekday",
    )
    alert_silence_least: Seconds = Field(3600.0, description="no alert about a silence shorter than this")
    alert_breaker_open: Seconds = Field(0.0, description="alert when a circuit breaker is open for longer")
    alert_token_refused: int = Field(0, ge=0, description="alert above so many events refused for our token")
    alert_vanished: int = Field(
        0, ge=0, description="alert above so many entries deleted from a stream before their end"
    )
    alert_spooled: int = Field(0, ge=0, description="alert above so many webhooks waiting in the spool")
    alert_previous_secret: Seconds = Field(
        3600.0, description="alert when a previous secret was used within this time"
    )
    alert_redis_memory: float = Field(0.8, gt=0, description="alert above this share of Redis's memory")
    alert_redis_disk: int = Field(0, ge=0, description="alert above so many failing ways to persist Redis")
    alert_slack_url: SecretStr = Field(NO_SECRET, description="Slack-compatible webhook that gets alerts")
    alert_pagerduty_key: SecretStr = Field(NO_SECRET, description="PagerDuty routing key; gets alerts")
    alert_pagerduty_url: str = Field(
        "https://events.pagerduty.com/v2/enqueue", description="PagerDuty-compatible events URL"
    )
    alert_email_to: str = Field("", description="addresses that get alerts, separated by commas")
    alert_email_from: str = Field("", description="sender of these e-mails")
    smtp_url: SecretStr = Field(
        NO_SECRET,
        description="mail server: smtp://user:password@host:587 (STARTTLS where offered) or smtps://",
    )
    heartbeat_url: SecretStr = Field(
        NO_SECRET,
        description="dead-man switch: asked (GET) after each check while the synthetic check passes",
    )
    heartbeat_check_url: str = Field(
        "", description="the door's /ready from outside; part of the synthetic check where set"
    )
