// Draws every element with `data-chart` (an ECharts option as JSON) and keeps it up to date. ECharts itself is loaded
// when the first chart is near the screen, after the page has been painted. Colours and fonts come from the style
// sheet, so that a change of theme needs no new data.
import { follows, show } from "./range.js";

const base = document.documentElement.dataset.assets ?? "";
const charts = new Map();
const groups = "holdfast";
let library;

function load() {
  library ??= new Promise((done, failed) => {
    const script = document.createElement("script");
    script.src = `${base}/vendor/echarts-6.1.0.common.min.js`;
    script.onload = () => done(window.echarts);
    script.onerror = failed;
    document.head.append(script);
  });
  return library;
}

const probe = document.createElement("canvas").getContext("2d", { willReadFrequently: true });

/** A style sheet's colour in a form that ECharts can mix. */
function colour(name, element) {
  const text = getComputedStyle(element).getPropertyValue(name).trim();
  if (!text || !probe) return undefined;
  probe.clearRect(0, 0, 1, 1);
  probe.fillStyle = text;
  probe.fillRect(0, 0, 1, 1);
  const [r, g, b] = probe.getImageData(0, 0, 1, 1).data;
  return `rgb(${r}, ${g}, ${b})`;
}

function bytes(value) {
  const units = ["B", "KiB", "MiB", "GiB", "TiB"];
  let i = 0;
  while (Math.abs(value) >= 1024 && i < units.length - 1) {
    value /= 1024;
    i += 1;
  }
  return `${round(value)} ${units[i]}`;
}

function round(value) {
  const size = Math.abs(value);
  if (size >= 100) return value.toFixed(0);
  if (size >= 10) return value.toFixed(1).replace(/\.0$/, "");
  return String(Number(value.toFixed(2)));
}

/** As the server writes numbers: see `domain::format`. */
function written(value, unit) {
  if (typeof value !== "number") return "—";
  switch (unit) {
    case "ms":
      return duration(value);
    case "s":
      return duration(value * 1000);
    case "B":
      return bytes(value);
    case "B/s":
      return `${bytes(value)}/s`;
    case "%":
      return `${round(value)} %`;
    default:
      return `${count(value)}${unit === "/s" ? "/s" : ""}`;
  }
}

/** As `duration_ms` of the server writes it. */
function duration(ms) {
  if (ms < 0) return `-${duration(-ms)}`;
  if (ms < 999.5) return `${round(ms)} ms`;
  if (ms < 59950) return `${round(ms / 1000)} s`;
  const s = Math.round(ms / 1000);
  const two = (number) => String(Math.floor(number)).padStart(2, "0");
  if (s < 3600) return `${Math.floor(s / 60)} min ${two(s % 60)} s`;
  if (s < 86400) return `${Math.floor(s / 3600)} h ${two((s / 60) % 60)} min`;
  return `${Math.floor(s / 86400)} d ${Math.floor((s / 3600) % 24)} h`;
}

/** As `count` of the server writes it. */
function count(value) {
  if (value < 0) return `-${count(-value)}`;
  if (value < 999.5) return round(value);
  for (const [limit, by, unit] of [[9995, 1e3, "k"], [999500, 1e3, "k"], [999500000, 1e6, "M"], [Infinity, 1e9, "G"]]) {
    if (value < limit) return `${(value / by).toFixed(limit === 999500 ? 1 : 2)} ${unit}`;
  }
}

/** A moment in the reader's time zone: see zone.js. */
function clock(at, long) {
  const text = new Date(at + window.holdfastOffset(at) * 60_000).toISOString();
  return long ? `${text.slice(5, 10)} ${text.slice(11, 16)}` : text.slice(11, 16);
}

function zone(at) {
  const minutes = window.holdfastOffset(at);
  if (!minutes) return "UTC";
  const [ahead, two] = [Math.abs(minutes), (number) => String(number).padStart(2, "0")];
  return `${minutes < 0 ? "−" : "+"}${two(Math.floor(ahead / 60))}:${two(ahead % 60)}`;
}

/** Ticks of bytes at whole KiB, MiB and so on: the library knows tens alone. */
function byteTicks(series) {
  const sums = new Map();
  for (const one of series) {
    for (const [at, value] of one.data ?? []) {
      if (typeof value === "number") sums.set(at, one.stack ? (sums.get(at) ?? 0) + value : Math.max(sums.get(at) ?? 0, value));
    }
  }
  const top = Math.max(0, ...sums.values());
  if (!(top > 0)) return {};
  const unit = 1024 ** Math.max(0, Math.floor(Math.log(top) / Math.log(1024)));
  const interval = unit * [0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 256].find((step) => top / unit / step <= 5);
  return { min: 0, max: Math.ceil(top / interval) * interval, interval };
}

/** A point alone between gaps gets a dot: no line goes through it. */
function dots(series) {
  const known = (point) => Array.isArray(point) && typeof point[1] === "number";
  const data = series.data ?? [];
  const alone = (point, i) => known(point) && !known(data[i - 1]) && !known(data[i + 1]);
  if (!data.some(alone)) return;
  series.data = data.map((point, i) => (alone(point, i) ? { value: point, symbol: "circle", symbolSize: 4 } : point));
  series.symbol = "none";
  series.showSymbol = true;
}

/** Dashes of lines that have one of the six colours again, and how pale their areas are: as in chart.css. */
const DASHES = { again: [9, 3], again2: [2, 3], again3: [9, 3, 2, 3] };

function dressed(element) {
  const option = JSON.parse(element.dataset.chart);
  const unit = element.dataset.unit ?? "";
  const [ink, line, surface] = ["--ink-3", "--line", "--surface"].map((name) => colour(name, element));
  const font = { fontFamily: "Inter, system-ui", fontSize: 11, color: ink };
  const x = [option.xAxis].flat()[0];
  const events = (option.series ?? []).flatMap((series) => series.markLine?.data ?? []);
  const long = x.max - x.min > 2 * 86400000;
  Object.assign(x, {
    axisLine: { lineStyle: { color: line } },
    axisTick: { show: false },
    splitLine: { show: false },
    axisLabel: { ...font, hideOverlap: true, formatter: (at) => (long ? clock(at, true).slice(0, 5) : clock(at, false)) },
  });
  const y = [option.yAxis].flat()[0];
  Object.assign(y, {
    splitNumber: 4,
    splitLine: { lineStyle: { color: line } },
    axisLabel: { ...font, formatter: (value) => written(value, unit) },
    ...(unit === "B" || unit === "B/s" ? byteTicks(option.series ?? []) : {}),
  });
  for (const series of option.series ?? []) {
    const [slot, turn] = series.id.split("-");
    const own = colour(`--slot-${slot}`, element);
    const dashes = DASHES[turn];
    series.color = own;
    series.lineStyle = { width: 1.5, ...series.lineStyle, ...(dashes && { type: dashes }), color: own };
    // An area has no line, unless its colour is there before: then its edge is dashed.
    if (dashes && series.areaStyle) series.lineStyle.width = 1.5;
    series.emphasis = { disabled: true };
    dots(series);
    if (series.areaStyle) series.areaStyle = { color: own, opacity: dashes ? 0.45 : 0.9 };
    if (series.markLine) {
      // A counter that began anew is no event like others: what stands before it does not compare.
      series.markLine.lineStyle = { color: ink, type: series.id.startsWith("reset") ? "dotted" : "dashed", width: series.id.startsWith("reset") ? 1.5 : 1 };
      // Titles would stand on top of each other: the tooltip tells them.
      series.markLine.label = { show: false };
    }
  }
  return {
    ...option,
    animation: false,
    textStyle: font,
    tooltip: {
      trigger: "axis",
      // Drawn into the canvas: the security policy allows no inline style, which an HTML tooltip would need.
      renderMode: "richText",
      confine: true,
      backgroundColor: surface,
      borderColor: line,
      textStyle: { ...font, color: colour("--ink", element) },
      axisPointer: { type: "line", lineStyle: { color: ink, type: "dashed" } },
      formatter: (items) => {
        const at = items[0].value[0];
        const known = (item) => typeof item.value[1] === "number";
        // A line that is broken at a moment has a second point there, without a value: each line is told once.
        const instead = (item, i) => items.some((other, j) => other.seriesIndex === item.seriesIndex && (known(other) || j < i));
        const told = items.filter((item, i) => known(item) || !instead(item, i));
        const near = events.filter((event) => Math.abs(event.xAxis - at) <= (x.max - x.min) / 100);
        return [
          `${clock(at, true)} ${zone(at)}`,
          ...told.map((item) => `${item.marker ?? ""}${item.seriesName}  ${written(item.value[1], unit)}`),
          ...near.map((event) => `${clock(event.xAxis, false)}  ${event.name}`),
          ...(leads(option) ? ["A click: who was active then"] : []),
        ].join("\n");
      },
    },
  };
}

async function draw(element) {
  if (element.dataset.chart === "") return;
  const echarts = await load();
  if (!element.isConnected || !element.clientWidth) return;
  let chart = charts.get(element);
  if (!chart) {
    chart = echarts.init(element, null, { renderer: "canvas" });
    chart.group = groups;
    echarts.connect(groups);
    charts.set(element, chart);
    draggable(element, chart);
    // Also called when a hidden tab is shown for the first time.
    new ResizeObserver(() => element.clientWidth && chart.resize()).observe(element);
  }
  chart.setOption(dressed(element), { notMerge: true, lazyUpdate: true });
  element.dataset.drawn = "";
}

/** Sessions over time, by state or by what they wait for: a moment of these is looked at on the page of activity. */
function leads(option) {
  return location.pathname.startsWith("/database") && (option.series ?? []).some((series) => series.stack);
}

/** The page of activity at a moment; it is the server's alone. */
function lookAt(at) {
  const url = new URL("/database/activity", location.href);
  for (const [name, value] of new URLSearchParams(location.search)) {
    if (["cluster", "range", "from", "to", "database"].includes(name)) url.searchParams.set(name, value);
  }
  url.searchParams.set("at", new Date(at).toISOString());
  location.assign(url);
}

/** A drag over the chart chooses the page's range. With a finger the page scrolls; the form of the top bar is for keys. */
function draggable(element, chart) {
  const LEAST = 6;
  const box = Object.assign(document.createElement("div"), { className: "drag", hidden: true });
  let begin = null;
  const edges = () => {
    const [x] = [chart.getOption().xAxis].flat();
    return { x, ends: [x.min, x.max].map((at) => chart.convertToPixel({ xAxisIndex: 0 }, at)) };
  };
  const place = (event) => {
    const { ends } = edges();
    return Math.min(Math.max(event.clientX - element.getBoundingClientRect().left, ends[0]), ends[1]);
  };
  const stop = () => {
    begin = null;
    box.hidden = true;
  };
  element.addEventListener("pointerdown", (event) => {
    if (event.button !== 0 || event.pointerType === "touch" || !follows()) return;
    begin = place(event);
    element.append(box);
    element.setPointerCapture(event.pointerId);
    event.preventDefault();
  });
  element.addEventListener("pointermove", (event) => {
    if (begin === null) return;
    const end = place(event);
    box.hidden = Math.abs(end - begin) < LEAST;
    box.style.left = `${Math.min(begin, end)}px`;
    box.style.width = `${Math.abs(end - begin)}px`;
  });
  element.addEventListener("pointerup", (event) => {
    if (begin === null) return;
    const ordered = [begin, place(event)].sort((a, b) => a - b);
    stop();
    const { x } = edges();
    if (ordered[1] - ordered[0] < LEAST) {
      if (leads(chart.getOption())) lookAt(Math.min(chart.convertFromPixel({ xAxisIndex: 0 }, ordered[0]), x.max, Date.now()));
      return;
    }
    // The chart ends with the step that is under way: a range ends now at the latest.
    const last = Math.min(x.max, Date.now());
    let [from, to] = ordered.map((pixel) => Math.min(chart.convertFromPixel({ xAxisIndex: 0 }, pixel), last));
    // A range is a minute at least.
    if (to - from < 60_000) from = to - 60_000;
    show(from, to);
  });
  element.addEventListener("pointercancel", stop);
  addEventListener("keydown", (event) => event.key === "Escape" && stop());
}

const near = new IntersectionObserver(
  (entries) => {
    for (const entry of entries) if (entry.isIntersecting && !charts.has(entry.target)) draw(entry.target);
  },
  { rootMargin: "200px" },
);

function look() {
  for (const [element, chart] of charts) {
    if (!element.isConnected) {
      chart.dispose();
      charts.delete(element);
    }
  }
  for (const element of document.querySelectorAll("[data-chart]")) near.observe(element);
}

new MutationObserver((changes) => {
  let structure = false;
  for (const change of changes) {
    if (change.type === "childList") structure = true;
    else if (change.attributeName === "data-theme") for (const element of charts.keys()) draw(element);
    else if (charts.has(change.target)) draw(change.target);
  }
  if (structure) look();
}).observe(document.documentElement, { subtree: true, childList: true, attributes: true, attributeFilter: ["data-chart", "data-theme"] });
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => charts.forEach((_, element) => draw(element)));
look();
