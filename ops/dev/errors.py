"""What can go wrong with the servers and processes of a development machine."""

from schema.errors import LeadstreamError


class DevServerError(LeadstreamError):
    """An embedded server could not be started or stopped; the text holds the end of its log."""
