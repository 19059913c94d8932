// What lives here: names of time zones as logs write them, with the one offset that each has.
// Invariant: a name that means different offsets in different countries is not here: it is told, never guessed.
// Apart because it is a table of facts.

const hours = (text: string, east: number): [string, number][] => text.split(' ').map((name) => [name, east * 3600]);

/** Seconds east of UTC. The names of North America are those that RFC 2822 defines. */
const offsets: ReadonlyMap<string, number> = new Map([
  ...hours('Z UTC GMT UT WET', 0),
  ...hours('CET WEST MEZ', 1),
  ...hours('CEST EET MESZ', 2),
  ...hours('EEST MSK', 3),
  ...hours('JST KST', 9),
  ...hours('AEST', 10),
  ...hours('AEDT', 11),
  ...hours('NZST', 12),
  ...hours('NZDT', 13),
  ...hours('EDT', -4),
  ...hours('EST CDT', -5),
  ...hours('CST MDT', -6),
  ...hours('MST PDT', -7),
  ...hours('PST AKDT', -8),
  ...hours('AKST', -9),
  ...hours('HST', -10),
]);

/** Seconds east of UTC of `Z`, `UTC`, `+02:00`, `+0200`, `+02`, `GMT+2` or a name that has one offset; undefined for any other. */
export function zoneEast(text: string): number | undefined {
  const named = offsets.get(text.toUpperCase());
  if (named !== undefined) return named;
  const found = /^(?:UTC|GMT)?([+-])(\d{1,2})(?::?([0-5]\d))?(?::?00)?$/.exec(text);
  if (found === null || Number(found[2]) > 23) return undefined;
  return (found[1] === '-' ? -1 : 1) * (Number(found[2]) * 3600 + Number(found[3] ?? 0) * 60);
}
