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

/** What `other` has in these names; of settings within one only those that are others. */
export const differing = (
  names: readonly (keyof UpstreamInUse)[],
  used: UpstreamInUse,
  other: UpstreamInUse,
): Partial<UpstreamInUse> => Object.fromEntries(names.map((name) => [name, partsOf(used[name], other[name])]));

const partsOf = (used: unknown, other: unknown): unknown =>
  typeof used !== 'object' || typeof other !== 'object' || used === null || other === null || Array.isArray(other)
    ? other
    : Object.fromEntries(
        Object.entries(other).filter(([name, value]) => value !== (used as Record<string, unknown>)[name]),
      );

/** All of them, flat: `http:api address` → `http://localhost:1`. */
export const flat = (uses: Readonly<Record<string, UpstreamInUse>>): Record<string, string> =>
  Object.fromEntries(
    Object.entries(uses).flatMap(([key, one]) =>
      names.map((name) => [`${key} ${name}`, typeof one[name] === 'string' ? one[name] : plain(one[name])]),
    ),
  );

/** `address http://localhost:1, timeoutMs 2000` */
export const differenceIn = (of: Partial<UpstreamInUse>): string =>
  Object.entries(of)
    .map(([name, value]) => `${name} ${typeof value === 'string' ? value : JSON.stringify(value)}`)
    .join(', ');
