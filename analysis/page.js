// Figures are drawn when they come into sight; a click on a number shows its trials; buttons copy a table.
// Nothing here asks a network for anything.
(() => {
  const figures = [...document.querySelectorAll(".figure")];

  const draw = (figure) => {
    if (figure.dataset.drawn) return;
    figure.dataset.drawn = "yes";
    const { data, layout } = JSON.parse(document.getElementById(`${figure.id}-spec`).textContent);
    Plotly.newPlot(figure, data, layout, { responsive: true, displayModeBar: false });
  };

  const sight = new IntersectionObserver(
    (entries) => entries.filter((entry) => entry.isIntersecting).forEach((entry) => draw(entry.target)),
    { rootMargin: "800px" },
  );
  figures.forEach((figure) => sight.observe(figure));
  window.addEventListener("beforeprint", () => figures.forEach(draw));

  const shown = document.querySelector("dialog");

  const cell = (text, tag) => Object.assign(document.createElement(tag), { textContent: text });

  const row = (texts, tag) => {
    const line = document.createElement("tr");
    line.append(...texts.map((text) => cell(text, tag)));
    return line;
  };

  const showTrials = (button) => {
    const { study, arm, metric } = button.dataset;
    const trials = JSON.parse(document.getElementById(`trials-${study}`).textContent)[metric]?.[arm] ?? [];
    const table = document.createElement("table");
    table.append(row(["replicate", metric, "trial"], "th"));
    trials.forEach(([replicate, value, trial]) => table.append(row([replicate, value.toFixed(4), trial], "td")));
    const close = Object.assign(document.createElement("button"), { textContent: "Close" });
    close.addEventListener("click", () => shown.close());
    const how = cell("bridgelab show TRIAL has its settings and every metric.", "p");
    how.className = "quiet";
    shown.replaceChildren(cell(`${arm}: ${trials.length} trials`, "h3"), table, how, close);
    shown.showModal();
  };

  const copy = async (button) => {
    const text = JSON.parse(document.getElementById(button.dataset.of).textContent);
    try {
      await navigator.clipboard.writeText(text);
    } catch {
      // Without leave to use the clipboard, the old way.
      const area = Object.assign(document.createElement("textarea"), { value: text });
      document.body.append(area);
      area.select();
      document.execCommand("copy");
      area.remove();
    }
    const before = button.textContent;
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = before; }, 1500);
  };

  const play = (clip) => {
    clip.currentTime = 0;
    clip.play();
  };

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (button?.classList.contains("play")) play(button.nextElementSibling);
    if (button?.classList.contains("cell")) showTrials(button);
    if (button?.classList.contains("copy")) copy(button);
  });
})();
