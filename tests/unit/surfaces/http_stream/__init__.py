"""The WebSocket stream: a real server and real sockets, and beats as workers send them."""
