// Without this the page says the same. With it, a server of the legend can be picked out of all plots.
for (const item of document.querySelectorAll('ul.legend li[data-series]')) {
  const button = document.createElement('button');
  button.type = 'button';
  button.setAttribute('aria-pressed', 'false');
  button.append(...item.childNodes);
  item.append(button);
  button.addEventListener('click', () => {
    const on = button.getAttribute('aria-pressed') !== 'true';
    for (const other of document.querySelectorAll('ul.legend button')) other.setAttribute('aria-pressed', 'false');
    button.setAttribute('aria-pressed', String(on));
    document.body.classList.toggle('chosen', on);
    for (const series of document.querySelectorAll('svg .series')) {
      series.classList.toggle('chosen', on && series.dataset.series === item.dataset.series);
    }
  });
}
