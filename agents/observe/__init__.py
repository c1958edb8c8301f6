"""What programs tell of themselves: logs, metrics, probes, traces, lag.

Enters: counts and instants. Leaves: log lines, Prometheus metrics, health.
"""
