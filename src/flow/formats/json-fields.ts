// What lives here: the fields of a JSON record by their names, `log.level` as one key or as a key within an object.
// Invariant: what is taken is gone from the rest, and the rest keeps every digit.
// Apart because names are looked up in a dozen places and written down in one.
import { membersOf, objectOf } from './json-text.ts';

/** A text or a number, as text. */
export interface Scalar {
  readonly text: string;
  readonly number: boolean;
}

export interface Fields {
  /** The text or number of this name, if there is one. */
  find(name: string): Scalar | undefined;
  /** The same, and it is no attribute any more. */
  take(name: string): Scalar | undefined;
  /** The value of a name as jsonb text, whatever it is. */
  raw(name: string): string | undefined;
  has(name: string): boolean;
  /** What was not taken, as jsonb text; undefined if nothing is left. */
  rest(): string | undefined;
}

const scalarOf = (json: string | undefined): Scalar | undefined => {
  if (json === undefined || !/^["\d-]/.test(json)) return undefined;
  return json.startsWith('"') ? { text: JSON.parse(json) as string, number: false } : { text: json, number: true };
};

/** The fields of an object whose values are jsonb text. */
export function fieldsOf(members: Map<string, string>): Fields {
  /** Objects within, opened once. */
  const opened = new Map<string, Map<string, string> | undefined>();
  const open = (json: string | undefined): Map<string, string> | undefined =>
    json?.startsWith('{') === true ? membersOf(json) : undefined;
  /** The object that holds the last part of a dotted name. */
  const holder = (name: string, make: boolean): { held: Map<string, string>; key: string } | undefined => {
    if (members.has(name)) return { held: members, key: name };
    const dot = name.indexOf('.');
    if (dot < 0) return undefined;
    const top = name.slice(0, dot);
    if (!members.has(top)) return undefined;
    if (!opened.has(top)) opened.set(top, open(members.get(top)));
    let held = opened.get(top);
    const path = name.slice(dot + 1).split('.');
    const key = path.pop()!;
    // Deeper objects are read only: what is taken from them stays where it was.
    for (const part of path) held = make ? undefined : open(held?.get(part));
    return held?.has(key) === true ? { held, key } : undefined;
  };
  const fields: Fields = {
    find(name) {
      const place = holder(name, false);
      return place && scalarOf(place.held.get(place.key));
    },
    take(name) {
      const found = fields.find(name);
      const place = found && holder(name, true);
      place?.held.delete(place.key);
      return found;
    },
    raw: (name) => members.get(name),
    has: (name) => holder(name, false) !== undefined,
    rest() {
      for (const [name, inner] of opened) {
        if (inner === undefined) continue;
        if (inner.size === 0) members.delete(name);
        else members.set(name, objectOf(inner));
      }
      return members.size === 0 ? undefined : objectOf(members);
    },
  };
  return fields;
}
