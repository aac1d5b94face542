"""The control loop: index, work queue, timers and workers. Knows no kind."""
