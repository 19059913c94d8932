// What lives here: the format strings of Apache (`%h %l %u %t "%r"`) and nginx (`$remote_addr [$time_local]`) as patterns.
// Invariant: a directive that is not known is a fault; every known one has the name that the built-in access format gives it.
// Apart because these names and meanings are the servers', and only this file knows them.

interface Field {
  readonly name: string;
  /** How the value looks, where that is not told by what stands around it. */
  readonly shape?: 'number' | 'path' | 'query' | 'time' | 'list' | 'user' | 'address';
  /** Apache writes brackets around its own time. */
  readonly bracketed?: boolean;
  /** A time pattern that the directive states. */
  readonly time?: string;
  /** Spaces within a time. */
  readonly spaces?: number;
}

const fields = (text: string, shape?: Field['shape']): [string, Field][] =>
  text.split(' ').map((pair) => {
    const [key, name = key] = pair.split('=') as [string, string?];
    return [key, shape === undefined ? { name } : { name, shape }];
  });

const apacheLetters = new Map<string, Field>([
  ...fields('h=client a=client', 'address'),
  ...fields(
    'A=local_address l=ident r=request v=vhost V=server m=method H=protocol f=filename R=handler L=log_id X=connection',
  ),
  ...fields('u=user', 'user'),
  ...fields('U=path', 'path'),
  ...fields('q=query', 'query'),
  ...fields(
    's=status b=bytes B=bytes O=bytes_out I=bytes_in S=bytes_total D=duration_us T=duration_s p=port P=pid k=keepalive',
    'number',
  ),
  ['t', { name: 'time', shape: 'time', bracketed: true }],
]);

const nginxNames = new Map<string, Field>([
  ...fields('remote_addr=client realip_remote_addr', 'address'),
  ...fields('remote_user=user', 'user'),
  ...fields('time_iso8601=time msec=time', 'time'),
  ['time_local', { name: 'time', shape: 'time', spaces: 1 }],
  ...fields(
    'request http_referer=referrer http_user_agent=agent host=vhost http_host=vhost server_name=server server_protocol=protocol request_method=method',
  ),
  ...fields(
    'status body_bytes_sent=bytes bytes_sent=bytes_out request_length request_time remote_port=port pid connection connection_requests',
    'number',
  ),
  ...fields('request_uri=path uri=path', 'path'),
  ...fields('args=query query_string=query', 'query'),
  ...fields('http_x_forwarded_for=forwarded_for proxy_add_x_forwarded_for=forwarded_for', 'list'),
]);

const headers: Readonly<Record<string, string>> = {
  referer: 'referrer',
  'user-agent': 'agent',
  'x-forwarded-for': 'forwarded_for',
  host: 'vhost',
};
const word = (text: string): string => text.toLowerCase().replace(/[^a-z0-9_]+/g, '_');

/** `%{Referer}i` and its like. */
function withArgument(argument: string, letter: string): Field | undefined {
  const header = headers[argument.toLowerCase()];
  switch (letter) {
    case 'i':
      return { name: header ?? word(argument), ...(header === 'forwarded_for' ? { shape: 'list' as const } : {}) };
    case 'o':
      return { name: `response_${word(argument)}` };
    case 'C':
      return { name: `cookie_${word(argument)}` };
    case 'e':
      return { name: `env_${word(argument)}` };
    case 'n':
      return { name: `note_${word(argument)}` };
    case 'x':
      return { name: word(argument) };
    case 'p':
      return { name: argument === 'remote' ? 'client_port' : 'port', shape: 'number' };
    case 'P':
      return { name: argument === 'pid' ? 'pid' : 'tid' };
    case 'a':
    case 'h':
      return argument === 'c' ? { name: 'peer', shape: 'address' } : undefined;
    case 'T': {
      const name = { us: 'duration_us', ms: 'duration_ms', s: 'duration_s' }[argument];
      return name === undefined ? undefined : { name, shape: 'number' };
    }
    case 't':
      return timeOf(argument);
    default:
      return undefined;
  }
}

/** `%{sec}t`, or a time pattern of its own, or what is below its seconds. */
function timeOf(argument: string): Field {
  const form = argument.replace(/^(?:begin|end):/, '').replace(/^[mu]sec_frac$/, '%f');
  return { name: 'time', shape: 'time', ...(/^(?:[mu]?sec)?$/.test(form) ? {} : { time: form }) };
}

/** `%{%F %T}t.%{usec_frac}t %{%z}t` is one time, written by three directives. */
function withWholeTimes(parts: readonly Part[]): Part[] {
  const all: Part[] = [];
  for (const part of parts) {
    const between = typeof all.at(-1) === 'string' ? (all.at(-1) as string) : '';
    const before = all.at(between === '' ? -1 : -2);
    const goesOn = typeof part !== 'string' && part.time !== undefined && /^[ .,:T]*$/.test(between);
    if (!goesOn || before === undefined || typeof before === 'string' || before.time === undefined) all.push(part);
    else all.splice(between === '' ? -1 : -2, 2, { ...part, time: `${before.time}${between}${part.time}` });
  }
  return all;
}

const apacheDirective = /%(?:[<>]|!?\d{3}(?:,\d{3})*)*(?:\{([^}]*)\})?\^?(t[io]|[A-Za-z%])?/y;
const nginxVariable = /\$(?:\{(\w+)\}|(\w+))/y;

type Part = string | Field;

/** A format string taken apart, with what is wrong with it. */
function partsOf(text: string): { parts: Part[]; faults: string[] } {
  const nginx = !/%[>{A-Za-z]/.test(text.replace(/\$\w+/g, '')) && text.includes('$');
  const mark = nginx ? '$' : '%';
  const parts: Part[] = [];
  const faults: string[] = [];
  for (let at = 0; at < text.length;) {
    const next = text.indexOf(mark, at);
    if (next !== at) {
      const end = next < 0 ? text.length : next;
      parts.push(text.slice(at, end));
      at = end;
      continue;
    }
    const directive = nginx ? nginxVariable : apacheDirective;
    directive.lastIndex = at;
    const found = directive.exec(text);
    const [all = mark, one, two] = found ?? [];
    at += all.length;
    if (!nginx && two === '%') {
      parts.push('%');
      continue;
    }
    const field = nginx
      ? nginxField((one ?? two)!)
      : one === undefined
        ? apacheLetters.get(two ?? '')
        : withArgument(one, two ?? '');
    if (field === undefined) faults.push(`its directive "${all}" is not known`);
    else parts.push(...(field.bracketed === true ? ['[', field, ']'] : [field]));
  }
  return { parts, faults };
}

function nginxField(name: string | undefined): Field | undefined {
  if (name === undefined) return undefined;
  const known = nginxNames.get(name);
  if (known !== undefined) return known;
  return name.startsWith('upstream_') ? { name, shape: 'list' } : { name };
}

const escaped = (text: string): string => text.replace(/[.*+?^${}()|[\]\\/]/g, String.raw`\$&`);

/** What a value may hold, by what stands before and behind it: nobody may write a value that looks like the next field. */
function valueOf({ name, shape, time = '', spaces }: Field, before: string, after: string): string {
  const quoted = before.endsWith('"') && after.startsWith('"');
  if (shape === 'time') {
    if (after !== '' && !after.startsWith(' ')) return `[^${escaped(after[0]!)}]*`;
    return `[^ ]+(?: +[^ ]+){${spaces ?? time.split(' ').length - 1}}`;
  }
  if (quoted) return String.raw`(?:[^"\\]|\\.)*`;
  if (shape === 'number') return String.raw`-|[+-]?\d+(?:\.\d+)?`;
  if (shape === 'query') return after.startsWith(' ') || after === '' ? String.raw`(?:\??\S*)` : String.raw`\??[^\s"]*`;
  if (shape === 'path') return after === '?' ? String.raw`[^\s?"]+` : String.raw`[^\s?"]+(?:\?[^\s"]*)?`;
  if (shape === 'address') return String.raw`[^\s\[\]"]*(?:\[[\da-fA-F:.]*\])?[^\s\[\]"]*`;
  if (after === '') return '.*';
  if (!after.startsWith(' ')) return `[^${escaped(after[0]!)}]*`;
  if (name === 'request') return '[^ ]+ [^ ]+ [^ ]+|[^ ]*';
  if (shape === 'user') return after.startsWith(' [') ? String.raw`[^\[\]]*?` : String.raw`[^ ]*`;
  return String.raw`[^ ]*?(?:(?:, | : )[^ ]+?)*?`;
}

/** The server's own directives around a string: `log_format main '…' '…';` and `LogFormat "…" combined`. */
function bare(text: string): string {
  const nginx = /^\s*log_format\s+\w+(?:\s+escape=\w+)?\s+([\s\S]*?);?\s*$/.exec(text);
  if (nginx !== null)
    return [...nginx[1]!.matchAll(/'((?:[^'\\]|\\.)*)'|"((?:[^"\\]|\\.)*)"/g)]
      .map(([, one, two]) => one ?? two)
      .join('');
  const apache = /^\s*(?:LogFormat|CustomLog\s+\S+)\s+"((?:[^"\\]|\\.)*)"(?:\s+\S+)?\s*$/.exec(text);
  return apache === null ? text : apache[1]!;
}

export interface AccessPattern {
  readonly pattern: string;
  readonly times: readonly string[];
  /** Groups whose values are numbers. */
  readonly numbers: readonly string[];
  /** Attributes that make the message, where no request is in the string. */
  readonly message: readonly string[];
  readonly hasStatus: boolean;
  readonly faults: readonly string[];
}

const columns = ['time', 'severity', 'module', 'message'];
const REQUEST_PARTS = ['method', 'path', 'query', 'protocol'];

/** The string as an RE2 pattern over the whole line, or what is wrong with it. */
export function accessPattern(text: string): AccessPattern {
  const { parts: all, faults } = partsOf(
    bare(text)
      .replace(/\\(["'\\])/g, '$1')
      .replace(/\\t/g, '\t')
      .trim(),
  );
  const parts = withWholeTimes(joined(all));
  const names = new Map<string, number>();
  let source = '';
  for (const [index, part] of parts.entries()) {
    if (typeof part === 'string') {
      source += escaped(part);
      continue;
    }
    const [before, after] = [parts[index - 1] ?? '', parts[index + 1] ?? ''];
    if (typeof before !== 'string' && part.shape !== 'query' && part.shape !== 'path')
      faults.push(`nothing stands between "${before.name}" and "${part.name}", so where one ends cannot be told`);
    const times = (names.get(part.name) ?? 0) + 1;
    names.set(part.name, times);
    if (times > 1 && part.name === 'time') faults.push('it states the time twice');
    // A header or a variable may be called as a column is.
    const name = part.shape !== 'time' && columns.includes(part.name) ? `${part.name}_` : part.name;
    const group = part.name === 'request' ? 'message' : times > 1 ? `${name}_${times}` : name;
    const beside =
      typeof after === 'string' ? after : after.shape === 'query' ? '?' : after.shape === 'path' ? '/' : '';
    source += `(?P<${group}>${valueOf(part, typeof before === 'string' ? before : '', beside)})`;
  }
  const found = parts.filter((part) => typeof part !== 'string');
  if (found.length === 0) faults.push('it has no directive of Apache ("%h") or nginx ("$remote_addr")');
  else if (!names.has('time')) faults.push('it states no time ("%t", "$time_local", "$time_iso8601")');
  if (found.length > 0 && !names.has('request') && !names.has('path'))
    faults.push('it has no request ("%r", "%U", "$request", "$request_uri"), which is the message');
  return {
    pattern: source,
    times: found.flatMap(({ time }) => (time === undefined ? [] : [time])),
    numbers: found.filter(({ shape }) => shape === 'number').map(({ name }) => name),
    message: names.has('request') ? [] : REQUEST_PARTS.filter((name) => names.has(name)),
    hasStatus: names.has('status'),
    faults,
  };
}

/** Literals that stand side by side as one. */
function joined(parts: readonly Part[]): Part[] {
  const all: Part[] = [];
  for (const part of parts) {
    const last = all.at(-1);
    if (typeof part === 'string' && typeof last === 'string') all[all.length - 1] = last + part;
    else all.push(part);
  }
  return all;
}
