"""What to do about each alert, in short; docs/runbook.md has the whole of it, by the same names."""

# As in `texts`, by rule.
ADVICE: dict[str, tuple[str, str]] = {
    "advice.retries": (
        (
            "Veja os erros dos eventos em andamento e corrija o que eles apontam, quase sempre uma API"
            " externa; os eventos seguem sozinhos."
        ),
        (
            "See the errors of the events in work and mend what they name, mostly an outside API; the events"
            " go on by themselves."
        ),
    ),
    "advice.c2s_failures": (
        (
            "Descarte as falhas de leads que o C2S apagou (código lead_gone); quanto às outras, confira se o"
            " C2S responde e reprocesse."
        ),
        (
            "Discard those whose lead C2S deleted (code lead_gone); for the others see whether C2S answers,"
            " then replay."
        ),
    ),
    "advice.duplicate_rate": (
        (
            "Nada é processado duas vezes. Procure o segundo remetente: Make.com ainda repassando, duas"
            " inscrições, um teste."
        ),
        (
            "Nothing is processed twice. Find the second sender: Make.com still forwarding, two"
            " subscriptions, a test."
        ),
    ),
    "advice.dead_letters": (
        "Esses leads ficaram sem mensagem. Corrija a causa e reprocesse; ou descarte o que não vale mais.",
        "These leads got no message. Mend the cause, then replay; or discard what is of no use any more.",
    ),
    "advice.oldest_waiting": (
        (
            "Confira se há processadores ativos, chamadas esperando a vez ou um disjuntor aberto; inicie"
            " processadores ou, se o C2S permite mais, aumente C2S_RATE_LIMIT."
        ),
        (
            "See whether processors are alive, calls wait for a turn, or a breaker is open; start processors,"
            " or raise C2S_RATE_LIMIT if C2S allows more."
        ),
    ),
    "advice.projector_lag": (
        (
            "Os leads são atendidos mesmo assim. Veja o log do projetor, a carga e o disco do Postgres;"
            " reinicie o projetor."
        ),
        (
            "Leads are served all the same. See the projector's log, Postgres's load and disk; restart the"
            " projector."
        ),
    ),
    "advice.silence": (
        (
            "Confira se alguém inscreveu outra URL no C2S e se /ready responde de fora; `c2s reconcile` acha"
            " o que faltou."
        ),
        (
            "See whether somebody subscribed another URL at C2S, and whether /ready answers from outside;"
            " `c2s reconcile` finds what was missed."
        ),
    ),
    "advice.breaker_open": (
        "Confira a situação da API e espere: os eventos não gastam tentativas e seguem quando ela voltar.",
        "See the API's own status, and wait: events spend no attempts and go on once it is back.",
    ),
    "advice.token_refused": (
        "Defina uma credencial válida dessa API e reinicie os processadores; nada foi abandonado.",
        "Set valid credentials for that API and restart the processors; nothing was given up.",
    ),
    "advice.entries_vanished": (
        (
            "Alguém apagou entradas do Redis; elas foram repostas. Mantenha mãos e outros programas longe"
            " dele e veja em `c2s doctor` a política de memória."
        ),
        (
            "Somebody deleted entries from Redis; they were restored. Keep hands and other programs off it,"
            " and see `c2s doctor` about eviction."
        ),
    ),
    "advice.spool_in_use": (
        (
            "O Postgres guarda os webhooks enquanto isso. Recupere o Redis; a fila reserva se esvazia"
            " sozinha, em ordem."
        ),
        "Postgres keeps the webhooks meanwhile. Mend Redis; the spool drains by itself, in order.",
    ),
    "advice.previous_secret": (
        "Informe o segredo novo ao remetente; remova o anterior só depois que este alerta se resolver.",
        "Tell the sender the new secret; remove the previous one only after this alert resolved.",
    ),
    "advice.redis_memory": (
        ("Dê mais memória ao Redis; veja também se o registro está atrasado, pois só o registrado é podado."),
        (
            "Give Redis more memory; see also whether the record is behind, for only recorded entries are"
            " trimmed."
        ),
    ),
    "advice.redis_disk": (
        "Libere espaço em disco e então execute BGREWRITEAOF; não reinicie o Redis antes.",
        "Free space on its disk, then run BGREWRITEAOF; do not restart Redis before.",
    ),
    "advice.redis_away": (
        "Confira se o Redis está no ar e se REDIS_URL está certa. Se ele voltou vazio: `c2s recover`.",
        "See whether Redis is up and REDIS_URL is right. If it came back empty: `c2s recover`.",
    ),
}
