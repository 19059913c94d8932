// What is promised here: what real drivers said when it was recorded is named as it was then, and no wrapping changes it.
// Made again by: npx vitest run --config test/classify/record.config.ts
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import {
  ActivityFailure,
  ApplicationFailure,
  DefaultFailureConverter,
  defaultPayloadConverter,
  ensureApplicationFailure,
  RetryState,
} from '@temporalio/common';
import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { classify, unsent } from '../../src/model/classify.ts';
import { CodedError, type Code, codes, type Failure } from '../../src/model/failure.ts';
import { type Shape, thaw } from '../classify/shapes.ts';

interface Golden {
  readonly what: string;
  readonly expected: Pick<Failure, 'code' | 'class' | 'fault' | 'commit'>;
  readonly error: Shape;
}
const golden = JSON.parse(readFileSync(join(import.meta.dirname, '../classify/golden.json'), 'utf8')) as Golden[];
const told = (error: unknown): Golden['expected'] => {
  const { code, class: cls, fault, commit } = classify(error);
  return { code, class: cls, fault, commit };
};

/** The SDK goes by the name of the constructor, which no JSON holds. */
const ofItsClass = (error: Error): Error =>
  Object.defineProperty(error, 'constructor', { value: { name: error.name }, configurable: true });

describe('a recorded error', () => {
  it('is there for many codes', () => {
    expect(golden.length).toBeGreaterThan(160);
    expect(new Set(golden.map(({ expected }) => expected.code)).size).toBeGreaterThan(48);
  });

  it.each(golden.map((one) => [one.what, one] as const))('%s', (_what, { error, expected }) => {
    expect(told(thaw(error))).toEqual(expected);
    expect(expected).toMatchObject({ class: codes[expected.code].class, fault: codes[expected.code].fault });
  });

  it('keeps its class in causes, in an AggregateError beside errors that nobody knows, and as what a library makes of it', () => {
    const wraps: readonly ((inner: unknown) => unknown)[] = [
      (inner) => new Error('outer', { cause: inner }),
      (inner) => new TypeError('fetch failed', { cause: inner }),
      (inner) => new AggregateError([inner], 'several'),
      (inner) => new AggregateError([new Error('first'), inner, new Error('last')], 'several'),
      (inner) =>
        Object.assign(new Error('other side closed', { cause: inner }), {
          name: 'SocketError',
          code: 'UND_ERR_SOCKET',
        }),
      (inner) => Object.assign(new Error('given up', { cause: inner }), { name: 'AbortError', code: 'ABORT_ERR' }),
    ];
    // What is general itself (`fetch failed`, a TypeError, nothing at all) is rightly outdone by another general word around it.
    const plain = wraps.filter((_, index) => index !== 1 && index < 4);
    const general = ['cancelled', 'code_bug', 'unknown', 'pg_statement'];
    fc.assert(
      fc.property(fc.constantFrom(...golden), fc.array(fc.nat(), { maxLength: 9 }), ({ error, expected }, picks) => {
        const isGeneral = general.includes(expected.code) || expected.code === 'net_reset';
        const usable = isGeneral ? plain : wraps;
        const wrapped = picks.reduce<unknown>((inner, pick) => usable[pick % usable.length]!(inner), thaw(error));
        expect(told(wrapped)).toEqual(expected);
      }),
      { numRuns: 1_000 },
    );
  });

  it('keeps its class over Temporal, as the guard sends it', () => {
    const converter = new DefaultFailureConverter();
    for (const { error, expected, what } of golden) {
      const named = { ...classify(thaw(error)), nextDelayMs: 1_234, upstream: 'http:main_api' };
      const sent = ApplicationFailure.create({ message: named.text, type: named.code, details: [{ failure: named }] });
      const around = new ActivityFailure('Activity failed', 'p/s', '1', RetryState.MAXIMUM_ATTEMPTS_REACHED, 'w', sent);
      for (const one of [sent, around]) {
        const back = converter.failureToError(
          converter.errorToFailure(one, defaultPayloadConverter),
          defaultPayloadConverter,
        );
        expect(told(back), what).toEqual(expected);
        expect(classify(back)).toMatchObject({ text: named.text, nextDelayMs: 1_234, upstream: 'http:main_api' });
      }
    }
  });

  it('that went over Temporal as it was has lost its code, and is then known by its words, as something general, or not at all', () => {
    const converter = new DefaultFailureConverter();
    let same = 0;
    for (const { error, expected, what } of golden) {
      const raw = converter.errorToFailure(ensureApplicationFailure(ofItsClass(thaw(error))), defaultPayloadConverter);
      const { class: cls, code } = classify(converter.failureToError(raw, defaultPayloadConverter));
      if (cls === expected.class) same++;
      else expect(['unknown', 'code_bug'].includes(code), `${what}: ${code}`).toBe(true);
    }
    expect(same).toBeGreaterThan(75);
  });
});

describe('of several facts', () => {
  const with_ = (fields: object, cause?: unknown): Error =>
    Object.assign(new Error('x', cause === undefined ? {} : { cause }), fields);
  it.each<[string, unknown, Code]>([
    [
      'an own code goes before all, wherever it stands',
      with_({ code: '23505' }, with_({ status: 500 }, new CodedError('net_reset'))),
      'net_reset',
    ],
    [
      'of two own codes the outer one counts',
      new CodedError('pg_commit_unknown', 'x', { cause: new CodedError('pg_auth') }),
      'pg_commit_unknown',
    ],
    ['a SQLSTATE goes before an errno', with_({ code: 'ECONNRESET' }, with_({ code: '57P01' })), 'pg_connection_lost'],
    ['an errno goes before a status', with_({ status: 404 }, with_({ code: 'ECONNRESET' })), 'net_reset'],
    ['a status goes before a message', with_({ status: 404 }, new Error('Query read timeout')), 'http_404'],
    ['a general word goes behind all', with_({ code: 'UND_ERR_SOCKET' }, with_({ status: 404 })), 'http_404'],
    [
      'of equals permanent goes before data',
      new AggregateError([with_({ code: '23505' }), with_({ code: '42P01' })]),
      'pg_schema',
    ],
    ['data before delayed', new AggregateError([with_({ code: '57P03' }), with_({ code: '23505' })]), 'record_refused'],
    [
      'delayed before transient',
      new AggregateError([with_({ code: 'ECONNRESET' }), with_({ code: 'ENOTFOUND' })]),
      'dns_unknown',
    ],
    ['throttled before transient', new AggregateError([with_({ status: 500 }), with_({ status: 429 })]), 'http_429'],
    [
      'not knowing the effect before knowing that there is none',
      new AggregateError([with_({ code: 'ECONNREFUSED' }), with_({ code: 'ECONNRESET' })]),
      'net_reset',
    ],
  ])('%s', (_name, error, code) => {
    expect(classify(error).code).toBe(code);
    expect(classify(new Error('around', { cause: error })).code).toBe(code);
  });

  it('a connection that was cut before the first byte has changed nothing, later nobody knows', () => {
    const cut = (fields: object) => Object.assign(new Error('read ECONNRESET'), { code: 'ECONNRESET', ...fields });
    expect(classify(cut({ syscall: 'read' })).commit).toBe('unknown');
    expect(classify(cut({ syscall: 'connect' })).commit).toBe('no');
    expect(classify(unsent(cut({ syscall: 'read' }))).commit).toBe('no');
    expect(classify(new TypeError('fetch failed', { cause: unsent(cut({})) })).commit).toBe('no');
    const socket = (bytesWritten: number) =>
      Object.assign(new Error('x'), { code: 'UND_ERR_SOCKET', socket: { bytesWritten } });
    expect([classify(socket(0)).commit, classify(socket(180)).commit]).toEqual(['no', 'unknown']);
    // What an answer or a database says is not undone by a connection that failed beside it.
    expect(classify(new AggregateError([Object.assign(new Error('x'), { status: 500 }), unsent(cut({}))])).commit).toBe(
      'no',
    );
    expect(classify(unsent(Object.assign(new Error('x'), { status: 500 }))).commit).toBe('unknown');
    expect(classify(unsent(new CodedError('net_reset'))).commit).toBe('unknown');
  });
});
