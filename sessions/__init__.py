"""WhatsApp sessions: the states, the store on disk, and the worker process that carries one session."""
