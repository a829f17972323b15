package pipeline

// Enqueue is enqueue, for tests that plan work without a worker.
var Enqueue = (*Pipeline).enqueue
