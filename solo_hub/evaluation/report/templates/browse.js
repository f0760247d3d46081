// The list of questions. Texts are inserted as text, never as markup: they come from models and corpora.
"use strict";
(() => {
  const data = JSON.parse(document.getElementById("data").textContent);
  const list = document.getElementById("list");
  const status = document.getElementById("status");
  const more = document.getElementById("more");
  const cause = document.getElementById("cause");
  const arm = document.getElementById("arm");
  const order = document.getElementById("order");
  const search = document.getElementById("search");
  const PAGE = 20;
  let matches = [];
  let shown = 0;

  function element(tag, properties = {}, ...children) {
    const node = document.createElement(tag);
    for (const [key, value] of Object.entries(properties)) {
      if (key === "class") node.className = value;
      else if (key in node) node[key] = value;
      else node.setAttribute(key, value);
    }
    node.append(...children.filter((child) => child !== null));
    return node;
  }

  const arms = data.questions.length ? Object.keys(data.questions[0].answers) : [];
  const evaluated = arms.includes("student") ? "student" : arms[arms.length - 1];

  function confidence(row) {
    const answer = row.answers[evaluated];
    return answer.probabilities && answer.option !== null ? answer.probabilities[answer.option] : 0;
  }

  function percent(value) {
    return value >= 0.995 ? "100 %" : value < 0.0005 ? "0 %" : `${(100 * value).toFixed(value < 0.0995 ? 1 : 0)} %`;
  }

  const armLabel = (arm) => arm.replaceAll("_", " ");

  function verdict(arm, answer) {
    return element("span", { class: answer.right ? "ok" : "bad", title: `${armLabel(arm)}: ${answer.right ? "right" : "wrong"}` },
      `${answer.right ? "✓" : "✗"} ${armLabel(arm)}`);
  }

  function optionTable(row) {
    const head = element("tr", {}, element("th", { scope: "col" }, "option"), ...arms.map((arm) => element("th", { scope: "col", class: "number" }, armLabel(arm))));
    const body = row.options.map((option, i) => {
      const right = i === row.gold.option;
      const cells = arms.map((arm) => {
        const answer = row.answers[arm];
        const chosen = answer.option === i;
        const p = answer.probabilities ? answer.probabilities[i] : null;
        const text = p === null ? (chosen ? "chosen" : "") : percent(p);
        const cell = element("td", { class: `number${chosen ? " chosen" : ""}` }, (chosen ? "▸ " : "") + text);
        if (p !== null) cell.style.setProperty("--p", p);
        return cell;
      });
      return element("tr", { class: right ? "gold" : "" }, element("th", { scope: "row" }, option, right ? element("span", { class: "tag" }, "right") : null), ...cells);
    });
    return element("div", { class: "scroll" }, element("table", { class: "options" }, element("thead", {}, head), element("tbody", {}, ...body)));
  }

  function written(row) {
    const items = arms.flatMap((arm) => [element("dt", {}, armLabel(arm)), element("dd", {}, row.answers[arm].text || "(nothing)")]);
    return element("div", {}, element("h4", {}, "Written answers"), element("dl", { class: "pairs" }, ...items));
  }

  function passages(row) {
    if (!row.passages.length) return null;
    const used = new Set(arms.flatMap((arm) => row.answers[arm].passages));
    const items = row.passages.map((passage) => element("li", { class: used.has(passage.id) ? "" : "dropped" }, passage.text,
      passage.source ? element("span", { class: "source" }, ` ${passage.source}`) : null,
      passage.supports ? element("span", { class: "tag" }, "supports the right answer") : null,
      used.has(passage.id) ? null : element("span", { class: "source" }, " (not in the prompt)")));
    return element("div", {}, element("h4", {}, "Passages the teacher read"), element("ol", { class: "passages" }, ...items));
  }

  function facts(row) {
    if (!row.gold.facts.length) return null;
    return element("div", {}, element("h4", {}, "Gold facts (for analysis only)"), element("ul", { class: "passages" }, ...row.gold.facts.map((fact) => element("li", {}, fact))));
  }

  function item(row) {
    const marks = element("span", { class: "marks" }, ...arms.map((arm) => verdict(arm, row.answers[arm])));
    const summary = element("summary", {}, element("span", { class: "asked" }, row.question), marks, element("span", { class: "cause" }, data.causes[row.cause]));
    const details = element("details", { class: "question" }, summary);
    details.addEventListener("toggle", () => {
      if (!details.open || details.childElementCount > 1) return;
      const gold = row.options.length ? null : element("p", {}, element("b", {}, "Reference: "), row.gold.text);
      const parts = [gold, row.options.length ? optionTable(row) : null, written(row), passages(row), facts(row), element("p", { class: "source" }, `id ${row.id}`)];
      details.append(element("div", { class: "body" }, ...parts.filter((part) => part !== null)));
    });
    return details;
  }

  function showMore() {
    list.append(...matches.slice(shown, shown + PAGE).map(item));
    shown = Math.min(shown + PAGE, matches.length);
    more.hidden = shown >= matches.length;
    status.textContent = `${matches.length} of ${data.questions.length} questions; ${shown} shown`;
  }

  function update() {
    const words = search.value.toLowerCase().split(/\s+/).filter(Boolean);
    matches = data.questions.filter((row) => {
      if (cause.value === "wrong" ? row.answers[evaluated].right : cause.value && row.cause !== cause.value) return false;
      if (arm.value) {
        const [name, wanted] = arm.value.split(":");
        if (row.answers[name].right !== (wanted === "right")) return false;
      }
      const text = `${row.question} ${row.options.join(" ")} ${row.id}`.toLowerCase();
      return words.every((word) => text.includes(word));
    });
    if (order.value === "sure") matches.sort((a, b) => confidence(b) - confidence(a));
    list.replaceChildren();
    shown = 0;
    showMore();
  }

  const counts = {};
  for (const row of data.questions) counts[row.cause] = (counts[row.cause] || 0) + 1;
  const wrong = data.questions.filter((row) => !row.answers[evaluated].right).length;
  cause.append(element("option", { value: "wrong" }, `${armLabel(evaluated)} wrong (${wrong})`), element("option", { value: "" }, `all (${data.questions.length})`),
    ...Object.keys(data.causes).filter((key) => counts[key]).map((key) => element("option", { value: key }, `${data.causes[key]} (${counts[key]})`)));
  if (!wrong) cause.value = "";
  document.querySelectorAll("[data-cause]").forEach((button) => button.addEventListener("click", () => {
    cause.value = button.dataset.cause;
    arm.value = "";
    update();
    document.getElementById("browse").scrollIntoView();
  }));
  arm.append(element("option", { value: "" }, "any"), ...arms.flatMap((name) => ["right", "wrong"].map((wanted) => {
    const count = data.questions.filter((row) => row.answers[name].right === (wanted === "right")).length;
    return element("option", { value: `${name}:${wanted}` }, `${armLabel(name)} ${wanted} (${count})`);
  })));
  cause.addEventListener("change", update);
  arm.addEventListener("change", update);
  order.addEventListener("change", update);
  search.addEventListener("input", update);
  more.addEventListener("click", showMore);
  document.getElementById("browser").hidden = false;
  update();
})();
