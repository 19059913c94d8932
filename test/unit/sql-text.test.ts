// What is promised here: of what Postgres says about a wrong statement people read names and keywords, and nothing that could be a value.
import { describe, expect, it } from 'vitest';
import { lineAt, sqlTextOf } from '../../src/model/sql-text.ts';

const of = (code: string, message: string, source?: string): string | undefined =>
  sqlTextOf({ code, message, position: '8' }, source)?.text;
const source = 'select O.palced_at, cents, sum_up(id, name) from Shop.Orders as o join "shop".orders where id = $1';

describe('the text of Postgres', () => {
  it.each([
    ['42703', 'column "palced_at" does not exist'],
    ['42703', 'column o.palced_at does not exist'],
    ['42703', 'column "cents" of relation "orders" does not exist'],
    ['42P01', 'relation "shop.orders" does not exist'],
    ['42883', 'function sum_up(integer, text) does not exist'],
    ['42883', 'operator does not exist: text = integer'],
    ['42804', 'column "id" is of type integer but expression is of type text'],
    ['42803', 'column "o.id" must appear in the GROUP BY clause or be used in an aggregate function'],
    ['42P10', 'there is no unique or exclusion constraint matching the ON CONFLICT specification'],
    ['42P18', 'could not determine data type of parameter $1'],
    ['42601', 'syntax error at end of input'],
    ['42501', 'permission denied for table orders'],
    ['3F000', 'schema "shop" does not exist'],
    ['42703', 'Spalte »kunde« existiert nicht'],
  ])('%s is repeated where it names things: %s', (code, message) =>
    expect(of(code, message, source)).toBe(message.includes('»') ? '' : message),
  );

  it.each([
    ['42601', 'syntax error at or near "Brien"', 'syntax error at or near "…"'],
    ['42703', 'column "smith" does not exist', 'column "…" does not exist'],
    ['42703', 'column smith.id does not exist', ''],
    ['42883', 'function smith(integer) does not exist', ''],
    ['42704', 'type "smith" does not exist', 'type "…" does not exist'],
    ['42703', 'column "4111 1111 1111 1111" does not exist', 'column "…" does not exist'],
    ['42703', 'column "ann@example.com" does not exist', 'column "…" does not exist'],
    ['42P01', 'relation "a.b.c.d" does not exist', 'relation "…" does not exist'],
    ['42601', "unterminated quoted string at or near \"'O''Brien\"", 'unterminated quoted string at or near "…"'],
    [
      '42601',
      'trailing junk after numeric literal at or near "4111a"',
      'trailing junk after numeric literal at or near "…"',
    ],
    ['42804', 'something new with 4111111111111111 in it', ''],
    ['42804', "something new with 'Ann' in it", ''],
  ])('%s leaves out what may be a value: %s', (code, message, text) => expect(of(code, message, source)).toBe(text));

  it('repeats a word that the parser stumbled over only where it is of the source', () => {
    expect(of('42601', 'syntax error at or near "selct"', 'selct 1')).toBe('syntax error at or near "selct"');
    expect(of('42601', 'syntax error at or near "other"', 'selct 1')).toBe('syntax error at or near "…"');
  });

  it.each(['22P02', '23505', '22001', '57014', 'P0001', 'ECONNRESET', ''])(
    'is not repeated at all for %s, which quotes rows',
    (code) => expect(of(code, 'column "a" does not exist')).toBeUndefined(),
  );

  it('has its place, and a line is counted in characters', () => {
    expect(sqlTextOf({ code: '42601', message: 'x', position: '17' })).toEqual({ text: 'x', position: 17 });
    expect(sqlTextOf({ code: '42601', message: 'x', position: '-1' })).toEqual({ text: 'x' });
    expect(sqlTextOf(null)).toBeUndefined();
    expect(lineAt('a\n🙂\nb', 5)).toBe(3);
    expect(lineAt('a\nb', 1)).toBe(1);
  });
});
