"""Where notices of alerts go, one module a way: `kind: webhook` is in drplatform.alerts.webhook. Knows only the model and libraries."""
