import { expect, test } from 'vitest';
import { selfHosted } from '../board/queues.ts';
import { html, page } from './html.ts';

test('values are escaped, parts of a page are not', () => {
  const inner = html`<b>${'<script>alert("x")</script>'}</b>`;
  expect(html`<p title="${`"'&`}">${inner}${[inner, 1]}${null}${undefined}${false}</p>`.text).toBe(
    '<p title="&quot;&#39;&amp;"><b>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</b><b>&lt;script&gt;alert(&quot;x&quot;)&lt;/script&gt;</b>1</p>',
  );
});

test('a page has no inline script or style: the content security policy would refuse it', () => {
  expect(page({ title: 'T', signedInAs: 'ada' }, html`<p>x</p>`)).not.toMatch(/<script|<style|style=|onclick/i);
});

test('links to other hosts are taken out of the board’s page', () => {
  const shipped =
    '<link href="https://fonts.example/css2?family=IBM" rel="stylesheet">\n<link href="static/css/main.css" rel="stylesheet">';
  expect(selfHosted(shipped)).toBe('\n<link href="static/css/main.css" rel="stylesheet">');
});
