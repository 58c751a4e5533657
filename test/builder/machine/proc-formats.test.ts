import { describe, expect, test } from "vitest";
import {
  parseCpuInfo,
  parseLoadAverage,
  parseMemoryInfo,
  parsePressure,
  parsePressureLine,
} from "../../../lib/builder/machine/proc-formats.js";

// Recorded on Linux 6.18, x86_64, two processors; shortened to the keys around those that are read.
const cpuinfo = `processor\t: 0
vendor_id\t: GenuineIntel
cpu family\t: 6
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2600.000
flags\t\t: fpu vme de pse
bogomips\t: 5200.00
clflush size\t: 64

processor\t: 1
vendor_id\t: GenuineIntel
cpu family\t: 6
model name\t: Intel(R) Xeon(R) Processor
cpu MHz\t\t: 2600.000
flags\t\t: fpu vme de pse
bogomips\t: 5200.00
clflush size\t: 64
`;

// The keys that matter, spelled as Linux does on aarch64.
const armCpuinfo = `processor\t: 0
BogoMIPS\t: 50.00
Features\t: fp asimd evtstrm
CPU implementer\t: 0x41

processor\t: 1
BogoMIPS\t: 50.00
`;

const meminfo = `MemTotal:       16374508 kB
MemFree:         9126948 kB
MemAvailable:   14018164 kB
Buffers:          305124 kB
`;

const cpuPressure = `some avg10=1.98 avg60=2.90 avg300=3.22 total=29093313
full avg10=0.00 avg60=0.00 avg300=0.00 total=0
`;

describe("processors", () => {
  test("are counted, and have bogomips when all agree", () => {
    expect(parseCpuInfo(cpuinfo)).toEqual({ count: 2, bogomips: 5200 });
    expect(parseCpuInfo(cpuinfo.replace("5200.00", "5199.99"))).toEqual({ count: 2, bogomips: 0 });
  });

  test("of ARM have none, as for the reference", () => {
    expect(parseCpuInfo(armCpuinfo)).toEqual({ count: 2, bogomips: 0 });
  });

  test("in an odd text are none", () => {
    expect(parseCpuInfo("")).toEqual({ count: 0, bogomips: 0 });
    expect(parseCpuInfo("processor: 0\nbogomips: many")).toEqual({ count: 1, bogomips: 0 });
  });
});

test("load averages", () => {
  expect(parseLoadAverage("0.52 1.58 12.00 2/345 6789\n")).toEqual([0.52, 1.58, 12]);
  expect(parseLoadAverage("0.52 1.58")).toBeUndefined();
  expect(parseLoadAverage("a b c")).toBeUndefined();
});

test("memory in use is what is not available; without that figure, all of it", () => {
  expect(parseMemoryInfo(meminfo)).toEqual({ total: 16374508 * 1024, used: (16374508 - 14018164) * 1024 });
  expect(parseMemoryInfo("MemTotal: 100 kB\n")).toEqual({ total: 102400, used: 102400 });
  expect(parseMemoryInfo("MemFree: 100 kB\n")).toBeUndefined();
});

describe("pressure", () => {
  test("lines are read by their kind", () => {
    expect(parsePressureLine(cpuPressure, "some")).toEqual({
      avg10: 1.98,
      avg60: 2.9,
      avg300: 3.22,
      total: 29093313,
    });
    expect(parsePressureLine("some avg10=0.00 avg60=0.00 total=0", "some")).toBeUndefined();
    expect(parsePressureLine(`some avg10= avg60=0 avg300=0 total=0`, "some")).toBeUndefined();
  });

  test("of old kernels has no full line for processors, and none at all for interrupts", () => {
    const line = "some avg10=0.00 avg60=0.00 avg300=0.00 total=7\n";
    expect(parsePressure({ cpu: line, memory: cpuPressure, io: undefined, irq: undefined })).toMatchObject({
      cpuSome: { total: 7 },
      memSome: { total: 29093313 },
      memFull: { total: 0 },
      ioSome: undefined,
      irqFull: undefined,
    });
  });
});
