// What lives here: which URLs an upstream's client may call, and what it may take along to each.
// Invariant: every URL that leaves this file is http(s) on the declared or a listed origin; credentials go to the declared origin alone.
// Apart because it is the whole defence against being led elsewhere, and pure: a table of hostile URLs tests it.
import { CodedError } from '../../model/failure.ts';
import type { Upstream } from '../../model/upstream.ts';

export interface Origins {
  /** The declared address. */
  readonly base: URL;
  /** A path below the declared address, or a URL on one of the origins. Throws `left_origin`. */
  at(path: string, query?: Readonly<Record<string, string | number>>): URL;
  /** Where an answer leads: a Location or a link to the next page, read from the URL that gave it. Throws `left_origin`, naming no host that holds a secret. */
  follow(link: string, from: URL, secrets: readonly string[]): URL;
  /** Only the declared origin is given credentials. */
  trusted(url: URL): boolean;
}

const LINK_LENGTH_MAX = 8_192;

/** Reads the origins of a declaration. Throws `config_invalid`. */
export function originsOf(key: string, declared: Upstream): Origins {
  const base = readAddress(key, declared.address);
  const allowed = new Set([base.origin, ...(declared.origins ?? []).map((one) => readAddress(key, one).origin)]);
  const admit = (url: URL, secrets: readonly string[]): URL => {
    if (allowed.has(url.origin)) {
      // Credentials in a URL come from whoever wrote the link, and would end up in logs.
      url.username = '';
      url.password = '';
      url.hash = '';
      return url;
    }
    throw new CodedError(
      'left_origin',
      `${key} leads to ${shown(url, secrets)}, which is neither its address nor one of its origins. Nothing was sent there. If it belongs to this upstream, add it to \`origins\` and deploy.`,
      { upstream: key },
    );
  };
  return {
    base,
    at(path, query) {
      const url = admit(hasScheme(path) ? read(key, path) : new URL(join(base, path)), []);
      for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, String(value));
      return url;
    },
    follow: (link, from, secrets) => admit(read(key, link, from), secrets),
    trusted: (url) => url.origin === base.origin,
  };
}

/** The path is put after the declared address, whatever it looks like: `//elsewhere` is a path here and no host. */
function join(base: URL, path: string): string {
  const stem = `${base.origin}${base.pathname}`.replace(/\/+$/, '');
  if (path === '') return `${base.origin}${base.pathname}`;
  return `${stem}${/^[/?]/.test(path) ? '' : '/'}${path}`;
}

/** As the URL standard reads it: what a URL parser takes for a scheme must not be taken for a path here. */
const hasScheme = (path: string): boolean => /^[\0-\x20]*[a-z][a-z0-9+.-]*:/i.test(path.replace(/[\t\r\n]/g, ''));

function read(key: string, link: string, from?: URL): URL {
  const url = link.length <= LINK_LENGTH_MAX && URL.canParse(link, from?.href) ? new URL(link, from?.href) : undefined;
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new CodedError(
    'left_origin',
    `${key} leads to ${url ? 'a URL of another kind' : 'what is no URL'}; only http and https on declared origins are followed. Nothing was read from there.`,
    { upstream: key },
  );
}

function readAddress(key: string, address: string): URL {
  const url = URL.canParse(address) ? new URL(address) : undefined;
  const wrong = !url
    ? 'is no URL'
    : url.protocol !== 'http:' && url.protocol !== 'https:'
      ? 'is neither http nor https'
      : url.username !== '' || url.password !== ''
        ? 'holds a credential; name it with secret() in `headers`, so that it is never shown'
        : undefined;
  if (url && !wrong) return url;
  throw new CodedError('config_invalid', `An address of upstream "${key}" ${String(wrong)}.`, { upstream: key });
}

/** Host and scheme only: path and query belong to whoever made the link. Even a host may be made of what we sent. */
const shown = (url: URL, secrets: readonly string[]): string =>
  echoes(url.host, secrets)
    ? 'a host whose name holds a credential of ours'
    : `${url.protocol}//${url.host}`.slice(0, 100);

/** Whether a text of the other side holds a credential of ours. */
export const echoes = (text: string, secrets: readonly string[]): boolean =>
  secrets.some((secret) => secret !== '' && text.toLowerCase().includes(secret.toLowerCase()));

/** The path of a URL for people, without its query, which may hold keys and values of records. */
export const shownPath = (url: URL): string =>
  url.pathname.length > 120 ? `${url.pathname.slice(0, 119)}…` : url.pathname;
