/** Logs on the page: what a terminal would show, for any bytes, in time that is linear in them. */
import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { classesOf, plain, printLine, shownText } from "../../lib/status/page/app/log/ansi.js";
import { LineBuffer } from "../../lib/status/page/app/log/line-buffer.js";
import { firstLine, lineHeight, scrolledHeight, topOfLine } from "../../lib/status/page/app/log/scroll.js";
import { LogSearch, splitAtMatches } from "../../lib/status/page/app/log/search.js";

const esc = "\u001b";

function pieces(line: string): [string, string][] {
  return printLine(line, plain).pieces.map(({ text, style }) => [text, classesOf(style)]);
}

describe("a line", () => {
  it("has the colours of its escape sequences", () => {
    expect(pieces(`a ${esc}[31mred${esc}[1;4m bold${esc}[0m plain`)).toEqual([
      ["a ", ""],
      ["red", "ansi-1"],
      [" bold", "ansi-1 ansi-bold ansi-underline"],
      [" plain", ""],
    ]);
    expect(
      pieces(`${esc}[91ma${esc}[38;5;196mb${esc}[38;2;0;200;0mc${esc}[48;5;4md${esc}[39;49me${esc}[mf`),
    ).toEqual([
      ["a", "ansi-9"],
      ["b", "ansi-9"],
      ["c", "ansi-10"],
      ["d", "ansi-10 ansi-on-4"],
      ["e", ""],
      ["f", ""],
    ]);
    expect(pieces(`${esc}[7mx`)).toEqual([["x", "ansi-back ansi-on-text"]]);
  });

  it("is overwritten by carriage returns and backspaces as in a terminal", () => {
    expect(shownText("10 %\r55 %\r100 %")).toBe("100 %");
    expect(shownText("long text\rab")).toBe("abng text");
    expect(shownText(`long text\r${esc}[Kab`)).toBe("ab");
    expect(shownText(`${esc}[2Kfresh`)).toBe("fresh");
    expect(shownText("abc\b\bX")).toBe("aXc");
  });

  it("shows nothing of other sequences", () => {
    expect(
      shownText(
        `${esc}]0;title\u0007a${esc}]8;;http://x${esc}\\link${esc}]8;;${esc}\\${esc}[2J${esc}(Bb\u0007`,
      ),
    ).toBe("alinkb");
    expect(shownText(`cut ${esc}[3`)).toBe("cut ");
    expect(shownText(`cut ${esc}]never ends`)).toBe("cut ");
  });

  it("is printed whatever comes, without control characters", () => {
    const piece = fc.oneof(
      fc.string(),
      fc.constantFrom(`${esc}[`, `${esc}]`, "\r", "\b", "1;2m", "K", "38;5;", "\u0007", esc),
    );
    fc.assert(
      fc.property(fc.array(piece), (parts) => {
        const text = shownText(parts.join(""));
        expect(text).not.toMatch(/[^\P{Cc}\t]/u);
      }),
    );
  });

  it("takes time that grows with its length only", () => {
    const hostile = [
      `${esc}]`.repeat(50_000),
      `${esc}[31m`.repeat(50_000),
      "a\r".repeat(100_000),
      "\b".repeat(200_000),
    ];
    for (const line of hostile) {
      const began = performance.now();
      printLine(line, plain);
      expect(performance.now() - began).toBeLessThan(2000);
    }
  });
});

describe("the lines of a log", () => {
  it("are the same in whatever pieces they come", () => {
    const text = `one\r\n${esc}[32mtwo\nthree${esc}[0m\n\nfive`;
    fc.assert(
      fc.property(fc.array(fc.nat(text.length)), (cuts) => {
        const buffer = new LineBuffer();
        const places = [0, ...cuts.sort((a, b) => a - b), text.length];
        for (const [index, from] of places.entries()) buffer.add(text.slice(from, places[index + 1]));
        buffer.finish();
        expect(Array.from({ length: buffer.count }, (_, index) => buffer.line(index))).toEqual(
          text.replace("\r", "").split("\n"),
        );
        expect(classesOf(buffer.styleAt(2))).toBe("ansi-2");
        expect(classesOf(buffer.styleAt(3))).toBe("");
      }),
    );
  });

  it("are bounded in length and number", () => {
    const buffer = new LineBuffer();
    buffer.add("x".repeat(100_000));
    expect(buffer.count).toBe(7);
    for (let part = 0; part < 110; part++) buffer.add(`${"y".repeat(1023)}\n`.repeat(1024));
    expect(buffer.isFull).toBe(true);
    expect(buffer.count).toBeLessThan(100_000);
  });
});

describe("the search", () => {
  it("counts hits and lines, ignoring case and colours, also as the log grows", () => {
    const buffer = new LineBuffer();
    const search = new LogSearch(buffer, "Err");
    buffer.add(`error err\nfine\n${esc}[31mE${esc}[0mRR\nlast err`);
    search.advance();
    expect([search.hits, search.lines]).toEqual([3, [0, 2]]);
    buffer.finish();
    search.advance();
    expect([search.hits, search.lines, search.isComplete]).toEqual([4, [0, 2, 3], true]);
  });

  it("searches in slices", () => {
    const buffer = new LineBuffer();
    buffer.add("x\n".repeat(10_000));
    const search = new LogSearch(buffer, "x");
    let time = 0;
    search.advance(() => (time += 10));
    expect(search.isComplete).toBe(false);
    while (!search.isComplete) search.advance(() => (time += 10));
    expect(search.hits).toBe(10_000);
  });

  it("marks what matches and loses nothing", () => {
    expect(splitAtMatches("an Error, error", "error")).toEqual(["an ", "Error", ", ", "error", ""]);
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, wanted) => splitAtMatches(text, wanted).join("") === text),
    );
  });
});

describe("scrolling", () => {
  it.each([100, 50_000, 3_000_000])(
    "shows the first line at the top and the last one at the end, of %d",
    (lines) => {
      const height = 700;
      expect(firstLine(lines, 0, height).line).toBe(0);
      const end = scrolledHeight(lines) - height;
      const { line, offset } = firstLine(lines, end, height);
      expect(line + Math.ceil(height / lineHeight) + 1).toBeGreaterThanOrEqual(lines);
      expect(offset).toBeLessThanOrEqual(end);
      const middle = Math.floor(lines / 2);
      expect(
        Math.abs(firstLine(lines, topOfLine(lines, middle, height), height).line - middle),
      ).toBeLessThanOrEqual(1);
    },
  );
});
