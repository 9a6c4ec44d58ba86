// A chat server on ws, of the usual kind: rooms are sets of sockets, and what one socket says is
// sent to each socket of its room.
//
//   node ws.js HOST:PORT
'use strict';

const { WebSocketServer } = require('ws');

const [host, port] = process.argv[2].split(':');
const server = new WebSocketServer({
  host,
  port: Number(port),
  backlog: 4096,
  perMessageDeflate: false,
});
const rooms = new Map();

server.on('connection', (socket, request) => {
  let room = rooms.get(request.url);
  if (room === undefined) {
    room = new Set();
    rooms.set(request.url, room);
  }
  room.add(socket);
  socket.on('message', (data) => {
    for (const member of room) {
      member.send(data, { binary: false });
    }
  });
  socket.on('close', () => room.delete(socket));
  socket.on('error', () => socket.terminate());
});

process.on('SIGTERM', () => process.exit(0));
