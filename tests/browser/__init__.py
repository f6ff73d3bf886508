"""The dashboard in a real Chromium: against a stand-in of the server first, against the real one in integration."""
