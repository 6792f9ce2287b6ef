// A webhook endpoint that verifies what it receives. Needs Node.js and nothing else.
//
// The part between the two lines of dashes is the webhook contract's own sample, unchanged. It is written for Express;
// `app` below is the little of Express that it uses, so that this runs without installing anything. With Express, put
// `app.use(express.json({ limit: '4mb' }))` in its place: the default limit of 100 kB is too small for many objects.
'use strict';

const http = require('node:http');

const LIMIT = 4 * 1024 * 1024;
const SIGNATURE = /^sha256=[0-9a-f]{64}$/;

if (!process.env.WEBHOOK_SECRET) {
  console.error('WEBHOOK_SECRET is not set: it is the value in the subscription\'s Secret');
  process.exit(1);
}

const routes = new Map();
const app = { post: (path, handler) => routes.set(path, handler) };

// ---------------------------------------------------------------------------------------------------------------------
const crypto = require('crypto');

function verifySignature(payload, signature, secret) {
  const expected = 'sha256=' + crypto
    .createHmac('sha256', secret)
    .update(payload)
    .digest('hex');
  
  return crypto.timingSafeEqual(
    Buffer.from(signature),
    Buffer.from(expected)
  );
}

app.post('/webhook', (req, res) => {
  const signature = req.headers['x-signature-256'];
  const payload = JSON.stringify(req.body);
  
  if (!verifySignature(payload, signature, process.env.WEBHOOK_SECRET)) {
    return res.status(401).send('Invalid signature');
  }
  
  // Process webhook...
  res.status(200).send('OK');
});
// ---------------------------------------------------------------------------------------------------------------------

// What the sample's "Process webhook..." stands for: called once for each verified delivery, before its answer leaves.
const lastSeen = new Map();

function processWebhook({ change }) {
  const { uid, kind, namespace, name } = change.resource;
  const object = namespace ? `${namespace}/${name}` : name;
  const line = `${change.change_type} ${kind} ${object} sequence=${change.sequence}`;
  // the recipe: ignore what is not higher than the sequence last seen for that object
  if (change.sequence <= (lastSeen.get(uid) ?? 0)) {
    console.log(`ignored ${line}`);
    return;
  }
  lastSeen.set(uid, change.sequence);
  console.log(`verified ${line}`);
}

const server = http.createServer((request, response) => {
  let answered = false;
  const answer = (code, text) => {
    if (answered) return;
    answered = true;
    // a request that is refused half-way has a rest that nobody will read
    if (!request.complete) response.setHeader('Connection', 'close');
    response.writeHead(code, { 'Content-Type': 'text/plain' }).end(`${text}\n`);
  };
  const [path] = request.url.split('?');
  const handler = request.method === 'POST' ? routes.get(path) : undefined;
  if (!handler) return answer(404, 'Not found');

  const chunks = [];
  let length = 0;
  request.on('error', () => answer(400, 'Bad request'));
  request.on('data', (chunk) => {
    length += chunk.length;
    if (length > LIMIT) return answer(413, 'Too large');
    chunks.push(chunk);
  });
  request.on('end', () => {
    if (answered) return;
    // timingSafeEqual throws when the lengths differ, and a header may hold anything
    if (!SIGNATURE.test(request.headers['x-signature-256'] ?? '')) return answer(401, 'Invalid signature');
    try {
      request.body = JSON.parse(Buffer.concat(chunks).toString('utf8'));
    } catch {
      return answer(400, 'Not JSON');
    }
    const send = (code, text) => {
      if (code === 200) processWebhook(request.body);
      answer(code, text);
    };
    try {
      handler(request, { status: (code) => ({ send: (text) => send(code, text) }) });
    } catch (error) {
      console.error(`failed to process a delivery: ${error.message}`);
      answer(500, 'Failed');
    }
  });
});

server.listen(Number(process.env.PORT ?? 9000), process.env.HOST ?? '127.0.0.1', () => {
  const { address, port } = server.address();
  console.log(`listening on http://${address}:${port}/webhook`);
});
