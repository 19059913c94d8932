// What lives here: lines of proxies that have a form of their own: HAProxy over HTTP, HTTPS and TCP, Envoy and Istio, the load balancers of AWS, Squid.
// Invariant: every field of the line is kept, that of the cause of a failure above all; the client is who asked.
// Apart from access.ts because these lines share nothing with the common log.
type Attributes = Record<string, string | number>;

/** What a line said, before its time is read. */
export interface Found {
  readonly time: string;
  readonly message: string;
  readonly module?: string;
  readonly severity?: string;
  readonly attributes: Attributes;
}

export const quotedText = String.raw`"((?:[^"\\]|\\.)*)"`;
export const stamp = String.raw`\[([^\]]{8,40})\]`;

/** `GET /a HTTP/1.1` in three, where it is three. */
export function intoWords(text: string): Attributes {
  const words = text.split(' ');
  if (words.length !== 3 || words.includes('')) return {};
  return { method: words[0]!, path: words[1]!, protocol: words[2]! };
}

/** What is there, by its name. */
const given = (fields: Readonly<Record<string, string | undefined>>): Attributes =>
  Object.fromEntries(Object.entries(fields).flatMap(([name, value]) => (value === undefined ? [] : [[name, value]])));

const statusOf = (text: string): Attributes => (Number(text) >= 100 ? { status: Number(text) } : {});

const haproxyHead = String.raw`^(?:(?:.*? )?haproxy\[\d+\]: )?(\S+):(\d+) ${stamp} `;
/** A quote in a request is written as `#22`; the line ends in it where it was cut. */
const haproxyHttp = new RegExp(
  String.raw`${haproxyHead}(\S+) (\S+) ([-\d+/]+) (-?\d{1,3}) (\+?\d{1,15}) (\S+) (\S+) (\S{4}) ([\d/+]+) (\d+/\d+)(?: \{(.*?)\})?(?: \{(.*?)\})? "([^"]*)(?:"(?: (.*))?)?$`,
  's',
);
const haproxyTcp = new RegExp(
  String.raw`${haproxyHead}((\S+) (\S+/\S+) ([-\d+/]+) (\+?\d{1,15}) (\S\S) ([\d/+]+) (\d+/\d+))$`,
);
const haproxyError = new RegExp(String.raw`${haproxyHead}([^\s/]+)/(\S+): (.+)$`, 's');
/** What `option httpslog` adds: five codes of errors, and name, version and cipher of the connection. */
const httpsTail = /^([-\d]+(?:\/[-\da-fA-Fx]+){4}) (\S*)\/([^\s/]+)\/([^\s/]+)$/;

function haproxyLine(text: string): Found | undefined {
  const found = haproxyHttp.exec(text);
  if (found === null) return haproxyOther(text);
  const [, client, port, time, frontend, backend, timers, status, bytes, , , termination, counters, queues] =
    found as unknown as string[];
  const message = found[16]!;
  const tls = httpsTail.exec(found[17] ?? '');
  const attributes: Attributes = {
    client: client!,
    port: Number(port),
    frontend: frontend!,
    backend: backend!,
    timers: timers!,
    ...(status === '-1' ? {} : { status: Number(status) }),
    bytes: Number(bytes!.replace('+', '')),
    termination: termination!,
    counters: counters!,
    queues: queues!,
    ...intoWords(message),
    ...given({ request_headers: found[14], response_headers: found[15] }),
    ...(tls === null
      ? given({ extra: found[17] })
      : given({ tls_errors: tls[1], sni: tls[2], tls_version: tls[3], cipher: tls[4] })),
  };
  return { time: time!, message, attributes };
}

/** A connection that was not HTTP, or never became one: it has no request, so all behind the time is the message. */
function haproxyOther(text: string): Found | undefined {
  const tcp = haproxyTcp.exec(text);
  if (tcp !== null) {
    const [, client, port, time, message, frontend, backend, timers, bytes, termination, counters, queues] =
      tcp as unknown as string[];
    const attributes = {
      ...given({ client, frontend, backend, timers, termination, counters, queues }),
      port: Number(port),
      bytes: Number(bytes!.replace('+', '')),
    };
    return { time: time!, message: message!, severity: termination === '--' ? 'INFO' : 'WARN', attributes };
  }
  const error = haproxyError.exec(text);
  if (error === null) return undefined;
  const [, client, port, time, frontend, bind, message] = error as unknown as string[];
  const attributes = { ...given({ client, frontend, bind }), port: Number(port) };
  return { time: time!, message: message!, severity: 'WARN', attributes };
}

/** Istio puts why behind the flags: details of the answer, of the connection's end, and of what the upstream failed by. */
const envoy = new RegExp(
  String.raw`^\[(\d{4}-[^\]]+)\] ${quotedText} (\d{1,3}) (\S+) (?:(\S+) (\S+|\S+(?: [^\s"]+)+) ${quotedText} )?(\d{1,15}) (\d{1,15}) (\d+|-) (\d+|-) ${quotedText} ${quotedText} ${quotedText} ${quotedText} ${quotedText}(?: (.*))?$`,
  's',
);
const meshNames = 'upstream_cluster upstream_local downstream_local downstream_remote server_name route'.split(' ');

/** The six addresses and names that Istio ends its line with; another number of words is kept as it is. */
function meshOf(rest: string | undefined): Attributes {
  const words = rest?.split(' ') ?? [];
  if (words.length !== meshNames.length) return given({ extra: rest });
  return Object.fromEntries(meshNames.map((name, index) => [name, words[index]!]));
}

function envoyLine(text: string): Found | undefined {
  const found = envoy.exec(text);
  if (found === null) return undefined;
  const [, time, message, status, flags, details, ended, failed, received, sent, duration] =
    found as unknown as string[];
  const [service, forwarded, agent, id, authority, upstream, rest] = found.slice(11) as string[];
  const mesh = meshOf(rest);
  // Nobody passed it on: then the other end of the connection asked.
  const peer = String(mesh['downstream_remote'] ?? '').replace(/:\d+$/, '');
  const client = forwarded === '-' ? peer : forwarded!.split(',')[0]!.trim();
  const attributes: Attributes = {
    ...(client === '' || client === '-' ? {} : { client }),
    ...statusOf(status!),
    response_flags: flags!,
    ...given({ response_details: details, connection_end: ended, upstream_failure: failed }),
    bytes_received: Number(received),
    bytes: Number(sent),
    duration: duration!,
    upstream_service_time: service!,
    forwarded_for: forwarded!,
    agent: agent!,
    request_id: id!,
    authority: authority!,
    upstream: upstream!,
    ...mesh,
    ...intoWords(message!),
  };
  return { time: time!, message: message!, attributes };
}

/** The application load balancer of AWS names its protocol first; the classic one begins with the time and ends behind the protocol of TLS. */
const aws = new RegExp(
  String.raw`^(?:(https?|h2|grpcs|wss?) )?(\d{4}-\d\d-\d\dT[\d:.]+Z) (\S+) (\S+):(\d+) (\S+) (-?[\d.]+) (-?[\d.]+) (-?[\d.]+) (\d{3}|-) (\d{3}|-) (\d{1,15}) (\d{1,15}) ${quotedText}(?: ${quotedText} (\S+) (\S+))?(?: (.*))?$`,
  's',
);
const awsNames =
  'target_group trace_id server_name certificate rule_priority request_created actions redirect error_reason targets target_statuses classification classification_reason connection_id'.split(
    ' ',
  );

function awsLine(text: string): Found | undefined {
  const found = aws.exec(text);
  if (found === null) return undefined;
  const [, type, time, balancer, client, port, target, before, within, after, status, targetStatus, received, sent] =
    found as unknown as string[];
  const [message, agent, cipher, tls, rest] = found.slice(14) as (string | undefined)[];
  const words = [...(rest ?? '').matchAll(/"((?:[^"\\]|\\.)*)"|(\S+)/g)].map(([, quoted, bare]) => quoted ?? bare!);
  const named = Object.fromEntries(words.slice(0, awsNames.length).map((word, index) => [awsNames[index]!, word]));
  const attributes: Attributes = {
    ...given({ type, balancer, client, target, agent, cipher, tls_version: tls, target_status: targetStatus }),
    port: Number(port),
    ...statusOf(status!),
    ...given({ request_time: before, target_time: within, response_time: after }),
    bytes_received: Number(received),
    bytes: Number(sent),
    ...named,
    ...(words.length > awsNames.length ? { extra: words.slice(awsNames.length).join(' ') } : {}),
    ...intoWords(message!),
  };
  // A listener of TCP has no request, and no status is its usual answer.
  const severity = message!.trim() === '- - -' ? { severity: 'INFO' } : {};
  return { time: time!, message: message!, ...severity, attributes };
}

const squid =
  /^(\d{9,10}\.\d{3}) +(-?\d+) (\S+) ([A-Z_]+)\/(\d{3}) (\d{1,15}) (\S+) (\S+) (\S+) ([A-Z_]+)\/(\S+) (\S+)(?: (.*))?$/s;

function squidLine(text: string): Found | undefined {
  const found = squid.exec(text);
  if (found === null) return undefined;
  const [, time, duration, client, cache, status, bytes, method, path, user, hierarchy, upstream, type, extra] =
    found as unknown as string[];
  const attributes = {
    ...given({ client, cache, method, path, user, hierarchy, upstream, content_type: type, extra }),
    ...statusOf(status!),
    bytes: Number(bytes),
    duration_ms: Number(duration),
  };
  return { time: time!, message: `${method} ${path}`, attributes };
}

/** A line of one of these proxies; undefined if it is none. */
export const proxyLine = (text: string): Found | undefined =>
  haproxyLine(text) ?? envoyLine(text) ?? awsLine(text) ?? squidLine(text);
