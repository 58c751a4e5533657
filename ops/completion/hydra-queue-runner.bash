# Made by npm run manual; changes here are lost.
_hydra_queue_runner() {
  local word=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}
  case $before in
    --server-cert-path|--server-key-path|--client-ca-cert-path|-c|--config-path) mapfile -t COMPREPLY < <(compgen -f -- "$word") ;;
    -r|--rest-bind|-g|--grpc-bind) COMPREPLY=() ;;
    *) mapfile -t COMPREPLY < <(compgen -W "-r --rest-bind -g --grpc-bind --server-cert-path --server-key-path --client-ca-cert-path --disable-queue-monitor-loop -c --config-path --check-config --print-default-config -V --version -h --help" -- "$word") ;;
  esac
}
complete -o filenames -F _hydra_queue_runner hydra-queue-runner queue-runner
