// What lives here: what stands behind the size in an access log: referrer, agent, and what packages and proxies add to them.
// Invariant: every byte is kept, under a name where the layout is known and as `extra` where it is not.
// Apart because each packaged layout is a row of a table.

type Extras = Record<string, string | number>;

/** Bare words, `name=value`, quoted texts and bracketed ones. */
const token =
  /\s*(?:(?<name>[A-Za-z_][\w.-]*)=)?(?:"(?<quoted>(?:[^"\\]|\\.)*)"|\[(?<bracket>[^\]]*)\]|(?<bare>[^\s"[\]]\S*))(?=\s|$)/y;

interface Token {
  readonly kind: 'quoted' | 'bracket' | 'bare' | 'named';
  readonly name?: string | undefined;
  readonly text: string;
}

/** The words of the rest; undefined where a quote never closes. */
function tokensOf(text: string): Token[] | undefined {
  const tokens: Token[] = [];
  const trimmed = text.trimEnd();
  for (token.lastIndex = 0; token.lastIndex < trimmed.length;) {
    const groups = token.exec(trimmed)?.groups;
    if (groups === undefined) return undefined;
    const { name, quoted, bracket, bare } = groups;
    const kind =
      name !== undefined ? 'named' : quoted !== undefined ? 'quoted' : bracket !== undefined ? 'bracket' : 'bare';
    tokens.push({ kind, name, text: (quoted ?? bracket ?? bare)! });
  }
  return tokens;
}

/** Layouts by their shape: q quoted, b bare, k bracketed; and the names of their fields. */
const layouts: readonly (readonly [RegExp, string])[] = [
  [/^q$/, 'forwarded_for'],
  // Apache's combinedio.
  [/^bb$/, 'bytes_in bytes_out'],
  // ingress-nginx; retries make lists of the upstream's fields.
  [/^bbkkb+$/, 'request_length request_time upstream_name upstream_alternative upstream'],
  [/^bbkb+$/, 'request_length request_time upstream_name upstream'],
  // Traefik.
  [/^bqqb$/, 'request_count router server duration'],
];

/** Names that a line has already: what a server adds under one of them is kept beside it. */
const taken = new Set(
  'client ident user vhost method path protocol status bytes referrer agent forwarded_for'.split(' '),
);

/** What a single word behind the agent is, nobody can tell: seconds, microseconds, bytes, a connection. */
function behindAgent(tokens: readonly Token[], text: string): Extras {
  const extras: Extras = {};
  const positional = tokens.filter(({ kind }) => kind !== 'named');
  for (const { kind, name, text: value } of tokens)
    if (kind === 'named') extras[taken.has(name!) ? `extra_${name!}` : name!] = value;
  if (positional.length === 0) return extras;
  const shape = positional.map(({ kind }) => (kind === 'quoted' ? 'q' : kind === 'bracket' ? 'k' : 'b')).join('');
  const known = layouts.find(([pattern]) => pattern.test(shape));
  if (known === undefined || (shape === 'bb' && !positional.every(({ text: value }) => /^\d+$/.test(value))))
    return { ...extras, extra: text };
  const names = known[1].split(' ');
  if (names.at(-1) === 'upstream') return { ...extras, ...ofUpstream(positional, names) };
  for (const [index, name] of names.entries()) extras[name] = positional[index]!.text;
  return extras;
}

/** `10.0.0.1:80, 10.0.0.2:80 0, 13 0.1, 0.2 502, 200 id`: five fields, each a list of as many as there were tries. */
function ofUpstream(tokens: readonly Token[], names: readonly string[]): Extras {
  const extras: Extras = {};
  const head = names.slice(0, -1);
  for (const [index, name] of head.entries()) extras[name] = tokens[index]!.text;
  const fields = tokens
    .slice(head.length)
    .map(({ text }) => text)
    .join(' ')
    .replace(/([,:]) | (:) /g, (_, comma: string | undefined) => `${comma ?? ':'}\0`)
    .split(' ')
    .map((field) => field.replaceAll('\0', ' '));
  const rest = ['upstream', 'upstream_bytes', 'upstream_time', 'upstream_status', 'request_id'];
  if (fields.length > rest.length) return { ...extras, upstream: fields.join(' ') };
  for (const [index, field] of fields.entries()) extras[rest[index]!] = field;
  return extras;
}

/** The named fields behind the size; undefined if the line breaks off in them. */
export function extrasOf(text: string): Extras | undefined {
  const tokens = tokensOf(text);
  if (tokens === undefined) return undefined;
  const [first, second] = tokens;
  if (first === undefined) return {};
  if (first.kind !== 'quoted') return behindAgent(tokens, text);
  // A referrer without an agent: the line was cut.
  if (second?.kind !== 'quoted') return undefined;
  const behind = tokens.slice(2);
  const named: Extras = { referrer: first.text, agent: second.text };
  if (behind.length === 0) return named;
  return {
    ...behindAgent(
      behind,
      text.slice(text.indexOf(second.text, first.text.length + 2) + second.text.length + 1).trim(),
    ),
    ...named,
  };
}
