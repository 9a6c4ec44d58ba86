// A chat server on socket.io, of the usual kind: rooms and events are the library's own.
//
//   node socket-io.js HOST:PORT
'use strict';

const { createServer } = require('node:http');
const { Server } = require('socket.io');

const [host, port] = process.argv[2].split(':');
const http = createServer();
const server = new Server(http, {
  transports: ['websocket'],
  perMessageDeflate: false,
  serveClient: false,
});

server.on('connection', (socket) => {
  socket.on('join', (room) => {
    socket.data.room = room;
    socket.join(room);
    socket.emit('joined');
  });
  socket.on('say', (message) => server.to(socket.data.room).emit('message', message));
});

http.listen({ host, port: Number(port), backlog: 4096 });
process.on('SIGTERM', () => process.exit(0));
