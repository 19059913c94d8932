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
  /** Where an answer leads: a Location or a link to the next page, read from the URL that gave it. Throws `left_origin`, naming no host: it is the other side's word, but the page, if it is one of a read of pages. */
  follow(link: string, from: URL, page?: number): URL;
  /** Only the declared origin is given credentials. */
  trusted(url: URL): boolean;
}

const LINK_LENGTH_MAX = 8_192;

/** Reads the origins of a declaration. Throws `config_invalid`. */
export function originsOf(key: string, declared: Upstream): Origins {
  const base = readAddress(key, declared.address);
  const allowed = new Set([base.origin, ...(declared.origins ?? []).map((one) => readAddress(key, one).origin)]);
  const admit = (url: URL, page?: number): URL => {
    if (allowed.has(url.origin)) {
      // Credentials in a URL come from whoever wrote the link, and would end up in logs.
      url.username = '';
      url.password = '';
      url.hash = '';
      return url;
    }
    throw new CodedError(
      'left_origin',
      `${key} leads${fromPage(page)} to a host that is neither its address nor one of its origins. Nothing was sent there. If it belongs to this upstream (\`curl -sI\` shows where its answer leads), add it to \`origins\` and deploy.`,
      { upstream: key },
    );
  };
  return {
    base,
    at(path, query) {
      const url = admit(hasScheme(path) ? read(key, path) : new URL(join(base, path)));
      for (const [name, value] of Object.entries(query ?? {})) url.searchParams.append(name, String(value));
      return url;
    },
    follow: (link, from, page) => admit(read(key, link, from, page), page),
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

const fromPage = (page: number | undefined): string => (page === undefined ? '' : ` from page ${page}`);

function read(key: string, link: string, from?: URL, page?: number): URL {
  const url = link.length <= LINK_LENGTH_MAX && URL.canParse(link, from?.href) ? new URL(link, from?.href) : undefined;
  if (url && (url.protocol === 'http:' || url.protocol === 'https:')) return url;
  throw new CodedError(
    'left_origin',
    `${key} leads${fromPage(page)} to ${url ? 'a URL of another kind' : 'what is no URL'}; only http and https on declared origins are followed. Nothing was read from there.`,
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

/** A URL for people: the declared address's own path, and a sign that more follows: the rest may hold keys and values of records. */
export const shownPath = (url: URL, base: URL): string => {
  const own = base.pathname.replace(/\/+$/, '');
  if (url.origin !== base.origin) return 'another of its origins';
  const rest = url.pathname.startsWith(own) ? url.pathname.slice(own.length) : url.pathname;
  return /^\/?$/.test(rest) && url.search === '' ? `${own}/` : `${own}/…`;
};
