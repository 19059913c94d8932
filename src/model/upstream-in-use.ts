// What lives here: an upstream as a worker uses it: its declaration with all defaults, and whether its secrets are set.
// Invariant: of a secret only the name and whether it is set; of an address never the part that could be a password.
// Apart because workers say it, the control store keeps it and the command line compares it.
import { ms } from './duration.ts';
import { breakerSettingsOf, type BreakerSettings, CONCURRENCY, timeoutMsOf, type Upstream } from './upstream.ts';

export interface UpstreamInUse {
  readonly address: string;
  readonly origins: readonly string[];
  readonly timeoutMs: number;
  readonly slowMs: number;
  readonly callsPerSecond: number | null;
  readonly concurrency: number;
  readonly probe: string | null;
  readonly breaker: BreakerSettings;
  readonly codes: Readonly<Record<string, string>>;
  readonly undone: readonly string[];
  /** Whether it declares what a good answer is. */
  readonly judges: boolean;
  readonly secrets: readonly { readonly name: string; readonly header: string; readonly set: boolean }[];
}

/** Resolves a declaration. `isSet` says whether a secret of that name can be read. */
export const inUse = (one: Upstream, isSet: (name: string) => boolean): UpstreamInUse => ({
  address: withoutLogin(one.address),
  origins: (one.origins ?? []).map(withoutLogin),
  timeoutMs: timeoutMsOf(one),
  slowMs: one.slow === undefined ? timeoutMsOf(one) : ms(one.slow),
  callsPerSecond: one.callsPerSecond ?? null,
  concurrency: one.concurrency ?? CONCURRENCY,
  probe: one.probe ?? null,
  breaker: breakerSettingsOf(one),
  codes: { ...one.codes } as Record<string, string>,
  undone: one.undone ?? [],
  judges: one.good !== undefined,
  secrets: Object.entries(one.headers ?? {}).flatMap(([header, value]) =>
    typeof value === 'string' ? [] : [{ name: value.secret, header, set: isSet(value.secret) }],
  ),
});

/** A login in an address is a secret that somebody put in the wrong place. */
const withoutLogin = (address: string): string => address.replace(/^([a-z][a-z0-9+.-]*:\/\/)[^/@]*@/i, '$1…@');

/** What two have in different ways, by name. */
export const differencesOf = (one: UpstreamInUse, other: UpstreamInUse): (keyof UpstreamInUse)[] =>
  names.filter((name) => plain(one[name]) !== plain(other[name]));

const names = [
  ...(['address', 'origins', 'timeoutMs', 'slowMs', 'callsPerSecond', 'concurrency', 'probe'] as const),
  ...(['breaker', 'codes', 'undone', 'judges', 'secrets'] as const),
] satisfies (keyof UpstreamInUse)[];

/** Keys in one order: the store gives them back in its own. */
const plain = (value: unknown): string =>
  JSON.stringify(value, (_key, one: unknown) =>
    typeof one === 'object' && one !== null && !Array.isArray(one)
      ? Object.fromEntries(Object.entries(one).toSorted(([a], [b]) => (a < b ? -1 : 1)))
      : one,
  );
