"""Public names, one module a way of changing them: `kind: rfc2136` is in drplatform.traffic.rfc2136. Knows only the model and libraries."""
