/**
 * Hydra's schema, version 87, as its own set-up program leaves it. Only for databases that are empty: one that Hydra
 * made is never changed by us.
 */
export const hydraSchema = `
create extension if not exists pg_trgm;

create table users (
  username text not null,
  fullname text,
  emailaddress text not null,
  password text not null,
  emailonerror integer not null default 0,
  type text not null default 'hydra',
  publicdashboard boolean not null default false,
  constraint users_pkey primary key (username)
);

create table userroles (
  username text not null,
  role text not null,
  constraint userroles_pkey primary key (username, role),
  constraint userroles_username_fkey foreign key (username) references users(username) on update cascade on delete cascade
);

create table projects (
  name text not null,
  displayname text not null,
  description text,
  enabled integer not null default 1,
  hidden integer not null default 0,
  owner text not null,
  homepage text,
  declfile text,
  decltype text,
  declvalue text,
  enable_dynamic_run_command boolean not null default false,
  constraint projects_pkey primary key (name),
  constraint projects_owner_fkey foreign key (owner) references users(username) on update cascade
);
create index indexprojectsonenabled on projects (enabled);

create table projectmembers (
  project text not null,
  username text not null,
  constraint projectmembers_pkey primary key (project, username),
  constraint projectmembers_project_fkey foreign key (project) references projects(name) on update cascade on delete cascade,
  constraint projectmembers_username_fkey foreign key (username) references users(username) on update cascade on delete cascade
);

create table jobsets (
  name text not null,
  id serial not null,
  project text not null,
  description text,
  nixexprinput text,
  nixexprpath text,
  errormsg text,
  errortime integer,
  lastcheckedtime integer,
  triggertime integer,
  enabled integer not null default 1,
  enableemail integer not null default 1,
  hidden integer not null default 0,
  emailoverride text not null,
  keepnr integer not null default 3,
  checkinterval integer not null default 300,
  schedulingshares integer not null default 100,
  fetcherrormsg text,
  forceeval boolean,
  starttime integer,
  type integer not null default 0,
  flake text,
  enable_dynamic_run_command boolean not null default false,
  constraint jobsets_pkey primary key (project, name),
  constraint jobsets_id_unique unique (id),
  constraint jobsets_project_fkey foreign key (project) references projects(name) on update cascade on delete cascade,
  constraint jobsets_flake_paths_check check ((type = 1) = ((nixexprinput is null) and (nixexprpath is null) and (flake is not null))),
  constraint jobsets_legacy_paths_check check ((type = 0) = ((nixexprinput is not null) and (nixexprpath is not null) and (flake is null))),
  constraint jobsets_schedulingshares_nonzero_check check (schedulingshares > 0),
  constraint jobsets_type_known_check check ((type = 0) or (type = 1))
);

create table jobsetrenames (
  project text not null,
  from_ text not null,
  to_ text not null,
  constraint jobsetrenames_pkey primary key (project, from_),
  constraint jobsetrenames_project_fkey foreign key (project) references projects(name) on update cascade on delete cascade,
  constraint jobsetrenames_project_to__fkey foreign key (project, to_) references jobsets(project, name) on update cascade on delete cascade
);

create table jobsetinputs (
  project text not null,
  jobset text not null,
  name text not null,
  type text not null,
  emailresponsible integer not null default 0,
  constraint jobsetinputs_pkey primary key (project, jobset, name),
  constraint jobsetinputs_project_jobset_fkey foreign key (project, jobset) references jobsets(project, name) on update cascade on delete cascade
);

create table jobsetinputalts (
  project text not null,
  jobset text not null,
  input text not null,
  altnr integer not null,
  value text,
  revision text,
  constraint jobsetinputalts_pkey primary key (project, jobset, input, altnr),
  constraint jobsetinputalts_project_jobset_input_fkey foreign key (project, jobset, input) references jobsetinputs(project, jobset, name) on update cascade on delete cascade
);
create index indexjobsetinputaltsoninput on jobsetinputalts (project, jobset, input);
create index indexjobsetinputaltsonjobset on jobsetinputalts (project, jobset);

create table builds (
  id serial not null,
  finished integer not null,
  timestamp integer not null,
  jobset_id integer not null,
  job text not null,
  nixname text,
  description text,
  drvpath text not null,
  system text not null,
  license text,
  homepage text,
  maintainers text,
  maxsilent integer default 3600,
  timeout integer default 36000,
  ischannel integer not null default 0,
  iscurrent integer default 0,
  priority integer not null default 0,
  globalpriority integer not null default 0,
  starttime integer,
  stoptime integer,
  iscachedbuild integer,
  buildstatus integer,
  size bigint,
  closuresize bigint,
  releasename text,
  keep integer not null default 0,
  notificationpendingsince integer,
  constraint builds_pkey primary key (id),
  constraint builds_jobset_id_fkey foreign key (jobset_id) references jobsets(id) on delete cascade,
  constraint builds_check check ((finished = 0) or ((stoptime is not null) and (stoptime <> 0))),
  constraint builds_check1 check ((finished = 0) or ((starttime is not null) and (starttime <> 0)))
);
create index indexbuildsjobsetidcurrent on builds (jobset_id) where iscurrent = 1;
create index indexbuildsjobsetidcurrentfinishedstatus on builds (jobset_id, buildstatus) where (iscurrent = 1) and (finished = 1);
create index indexbuildsjobsetidcurrentunfinished on builds (jobset_id) where (iscurrent = 1) and (finished = 0);
create index indexbuildsondrvpath on builds (drvpath);
create index indexbuildsonfinished on builds (finished) where finished = 0;
create index indexbuildsonfinishedstoptime on builds (finished, stoptime desc);
create index indexbuildsoniscurrent on builds (iscurrent) where iscurrent = 1;
create index indexbuildsonjobsetidfinishedid on builds (jobset_id, job, finished, id desc);
create index indexbuildsonkeep on builds (keep) where keep = 1;
create index indexbuildsonnotificationpendingsince on builds (notificationpendingsince) where notificationpendingsince is not null;
create index indexbuildsontimestamp on builds (timestamp);
create index indexfinishedsuccessfulbuilds on builds (jobset_id, job, finished, buildstatus, id desc) where (buildstatus = 0) and (finished = 1);
create index indextrgmbuildsondrvpath on builds using gin (drvpath gin_trgm_ops);

create table aggregateconstituents (
  aggregate integer not null,
  constituent integer not null,
  constraint aggregateconstituents_pkey primary key (aggregate, constituent),
  constraint aggregateconstituents_aggregate_fkey foreign key (aggregate) references builds(id) on delete cascade,
  constraint aggregateconstituents_constituent_fkey foreign key (constituent) references builds(id) on delete cascade
);

create table buildinputs (
  id serial not null,
  build integer,
  name text not null,
  type text not null,
  uri text,
  revision text,
  value text,
  emailresponsible integer not null default 0,
  dependency integer,
  path text,
  sha256hash text,
  constraint buildinputs_pkey primary key (id),
  constraint buildinputs_build_fkey foreign key (build) references builds(id) on delete cascade,
  constraint buildinputs_dependency_fkey foreign key (dependency) references builds(id)
);
create index indexbuildinputsonbuild on buildinputs (build);
create index indexbuildinputsondependency on buildinputs (dependency);

create table buildoutputs (
  build integer not null,
  name text not null,
  path text,
  constraint buildoutputs_pkey primary key (build, name),
  constraint buildoutputs_build_fkey foreign key (build) references builds(id) on delete cascade
);
create index indexbuildoutputspath on buildoutputs using hash (path);

create table buildproducts (
  build integer not null,
  productnr integer not null,
  type text not null,
  subtype text not null,
  filesize bigint,
  sha256hash text,
  path text,
  name text not null,
  defaultpath text,
  constraint buildproducts_pkey primary key (build, productnr),
  constraint buildproducts_build_fkey foreign key (build) references builds(id) on delete cascade
);
create index indexbuildproducstonbuildandtype on buildproducts (build, type);
create index indexbuildproductsonbuild on buildproducts (build);

create table buildmetrics (
  build integer not null,
  name text not null,
  unit text,
  value double precision not null,
  project text not null,
  jobset text not null,
  job text not null,
  timestamp integer not null,
  constraint buildmetrics_pkey primary key (build, name),
  constraint buildmetrics_build_fkey foreign key (build) references builds(id) on delete cascade,
  constraint buildmetrics_project_fkey foreign key (project) references projects(name) on update cascade,
  constraint buildmetrics_project_jobset_fkey foreign key (project, jobset) references jobsets(project, name) on update cascade
);
create index indexbuildmetricsonjobtimestamp on buildmetrics (project, jobset, job, timestamp desc);

create table buildsteps (
  build integer not null,
  stepnr integer not null,
  type integer not null,
  drvpath text not null,
  busy integer not null,
  status integer,
  errormsg text,
  starttime integer,
  stoptime integer,
  machine text not null default '',
  system text,
  propagatedfrom integer,
  overhead integer,
  timesbuilt integer,
  isnondeterministic boolean,
  resolveddrvpath text,
  constraint buildsteps_pkey primary key (build, stepnr),
  constraint buildsteps_build_fkey foreign key (build) references builds(id) on delete cascade,
  constraint buildsteps_propagatedfrom_fkey foreign key (propagatedfrom) references builds(id) on delete cascade,
  constraint buildsteps_check check ((status = 13) = (resolveddrvpath is not null))
);
create index indexbuildstepsonbusy on buildsteps (busy) where busy <> 0;
create index indexbuildstepsondrvpath on buildsteps (drvpath);
create index indexbuildstepsonpropagatedfrom on buildsteps (propagatedfrom) where propagatedfrom is not null;
create index indexbuildstepsonstoptime on buildsteps (stoptime desc) where (starttime is not null) and (stoptime is not null);

create table buildstepoutputs (
  build integer not null,
  stepnr integer not null,
  name text not null,
  path text,
  constraint buildstepoutputs_pkey primary key (build, stepnr, name),
  constraint buildstepoutputs_build_fkey foreign key (build) references builds(id) on delete cascade,
  constraint buildstepoutputs_build_stepnr_fkey foreign key (build, stepnr) references buildsteps(build, stepnr) on delete cascade
);
create index indexbuildstepoutputsonpath on buildstepoutputs (path);

create table failedpaths (
  path text not null,
  constraint failedpaths_pkey primary key (path)
);

create table evaluationerrors (
  id serial not null,
  errormsg text,
  errortime integer,
  constraint evaluationerrors_pkey primary key (id)
);

create table jobsetevals (
  id serial not null,
  jobset_id integer not null,
  evaluationerror_id integer,
  timestamp integer not null,
  checkouttime integer not null,
  evaltime integer not null,
  hasnewbuilds integer not null,
  hash text not null,
  nrbuilds integer,
  nrsucceeded integer,
  flake text,
  nixexprinput text,
  nixexprpath text,
  constraint jobsetevals_pkey primary key (id),
  constraint jobsetevals_evaluationerror_id_fkey foreign key (evaluationerror_id) references evaluationerrors(id) on delete set null,
  constraint jobsetevals_jobset_id_fkey foreign key (jobset_id) references jobsets(id) on delete cascade
);
create index indexjobsetevalsonjobsetid on jobsetevals (jobset_id, id desc) where hasnewbuilds = 1;
create index indexjobsetidevals on jobsetevals (jobset_id) where hasnewbuilds = 1;

create table jobsetevalinputs (
  eval integer not null,
  name text not null,
  altnr integer not null,
  type text not null,
  uri text,
  revision text,
  shortrevlength smallint,
  value text,
  dependency integer,
  path text,
  sha256hash text,
  constraint jobsetevalinputs_pkey primary key (eval, name, altnr),
  constraint jobsetevalinputs_dependency_fkey foreign key (dependency) references builds(id),
  constraint jobsetevalinputs_eval_fkey foreign key (eval) references jobsetevals(id) on delete cascade
);

create table jobsetevalmembers (
  eval integer not null,
  build integer not null,
  isnew integer not null,
  constraint jobsetevalmembers_pkey primary key (eval, build),
  constraint jobsetevalmembers_build_fkey foreign key (build) references builds(id) on delete cascade,
  constraint jobsetevalmembers_eval_fkey foreign key (eval) references jobsetevals(id) on delete cascade
);
create index indexjobsetevalmembersonbuild on jobsetevalmembers (build);
create index indexjobsetevalmembersoneval on jobsetevalmembers (eval);

create table cachedpathinputs (
  srcpath text not null,
  timestamp integer not null,
  lastseen integer not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedpathinputs_pkey primary key (srcpath, sha256hash)
);

create table cachedsubversioninputs (
  uri text not null,
  revision integer not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedsubversioninputs_pkey primary key (uri, revision)
);
create index indexcachedsubversioninputsonurirevision on cachedsubversioninputs (uri, revision);

create table cachedbazaarinputs (
  uri text not null,
  revision integer not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedbazaarinputs_pkey primary key (uri, revision)
);
create index indexcachedbazaarinputsonurirevision on cachedbazaarinputs (uri, revision);

create table cachedgitinputs (
  uri text not null,
  branch text not null,
  revision text not null,
  isdeepclone boolean not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedgitinputs_pkey primary key (uri, branch, revision, isdeepclone)
);
create index indexcachedgitinputsonhash on cachedgitinputs (uri, branch, sha256hash);

create table cacheddarcsinputs (
  uri text not null,
  revision text not null,
  sha256hash text not null,
  storepath text not null,
  revcount integer not null,
  constraint cacheddarcsinputs_pkey primary key (uri, revision)
);

create table cachedhginputs (
  uri text not null,
  branch text not null,
  revision text not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedhginputs_pkey primary key (uri, branch, revision)
);
create index indexcachedhginputsonhash on cachedhginputs (uri, branch, sha256hash);

create table cachedcvsinputs (
  uri text not null,
  module text not null,
  timestamp integer not null,
  lastseen integer not null,
  sha256hash text not null,
  storepath text not null,
  constraint cachedcvsinputs_pkey primary key (uri, module, sha256hash)
);

create table urirevmapper (
  baseuri text not null,
  uri text not null,
  constraint urirevmapper_pkey primary key (baseuri)
);

create table newsitems (
  id serial not null,
  contents text not null,
  createtime integer not null,
  author text not null,
  constraint newsitems_pkey primary key (id),
  constraint newsitems_author_fkey foreign key (author) references users(username) on update cascade on delete cascade
);

create table starredjobs (
  username text not null,
  project text not null,
  jobset text not null,
  job text not null,
  constraint starredjobs_pkey primary key (username, project, jobset, job),
  constraint starredjobs_project_fkey foreign key (project) references projects(name) on update cascade on delete cascade,
  constraint starredjobs_project_jobset_fkey foreign key (project, jobset) references jobsets(project, name) on update cascade on delete cascade,
  constraint starredjobs_username_fkey foreign key (username) references users(username) on update cascade on delete cascade
);

create table runcommandlogs (
  id serial not null,
  uuid uuid not null,
  job_matcher text not null,
  build_id integer not null,
  command text not null,
  start_time integer,
  end_time integer,
  error_number integer,
  exit_code integer,
  signal integer,
  core_dumped boolean,
  constraint runcommandlogs_pkey primary key (id),
  constraint runcommandlogs_uuid_unique unique (uuid),
  constraint runcommandlogs_build_id_fkey foreign key (build_id) references builds(id) on delete cascade,
  constraint runcommandlogs_end_time_has_start_time check ((end_time is null) or (start_time is not null)),
  constraint runcommandlogs_not_started_no_exit_time_no_code check ((start_time is not null) or ((end_time is null) and (error_number is null) and (exit_code is null) and (signal is null) and (core_dumped is null)))
);
create index indexruncommandlogsonbuildid on runcommandlogs (build_id);

create table taskretries (
  id serial not null,
  channel text not null,
  pluginname text not null,
  payload text not null,
  attempts integer not null,
  retry_at integer not null,
  constraint taskretries_pkey primary key (id)
);
create index indextaskretriesordered on taskretries (retry_at);

create table nrbuilds (
  what text not null,
  count integer not null,
  constraint nrbuilds_pkey primary key (what)
);

create table systemstatus (
  what text not null,
  status json not null,
  constraint systemstatus_pkey primary key (what)
);

create table schemaversion (
  version integer not null
);

-- A path that is remembered already is not an error.
create rule idempotentinsert as on insert to failedpaths
  where exists (select 1 from failedpaths where path = new.path)
  do instead nothing;

-- The number of finished builds, kept by a trigger because counting them takes long.
insert into nrbuilds (what, count) values ('finished', 0);

create function modifynrbuildsfinished() returns trigger as $body$
declare
  difference integer := 0;
begin
  if tg_op <> 'DELETE' and new.finished = 1 then
    difference := difference + 1;
  end if;
  if tg_op <> 'INSERT' and old.finished = 1 then
    difference := difference - 1;
  end if;
  if difference <> 0 then
    update nrbuilds set count = count + difference where what = 'finished';
  end if;
  return null;
end
$body$ language plpgsql;

create function notifybuildsdeleted() returns trigger as $body$
begin
  notify builds_deleted;
  return null;
end
$body$ language plpgsql;

create function notifybuildrestarted() returns trigger as $body$
begin
  notify builds_restarted;
  return null;
end
$body$ language plpgsql;

create function notifybuildcancelled() returns trigger as $body$
begin
  notify builds_cancelled;
  return null;
end
$body$ language plpgsql;

create function notifybuildbumped() returns trigger as $body$
begin
  notify builds_bumped;
  return null;
end
$body$ language plpgsql;

create function notifyjobsetsadded() returns trigger as $body$
begin
  notify jobsets_added;
  return null;
end
$body$ language plpgsql;

create function notifyjobsetsdeleted() returns trigger as $body$
begin
  notify jobsets_deleted;
  return null;
end
$body$ language plpgsql;

create function notifyjobsetshareschanged() returns trigger as $body$
begin
  notify jobset_shares_changed;
  return null;
end
$body$ language plpgsql;

create function notifyjobsetschedulingchanged() returns trigger as $body$
begin
  notify jobset_scheduling_changed;
  return null;
end
$body$ language plpgsql;

create trigger jobsetsadded
  after insert on jobsets for each statement
  execute function notifyjobsetsadded();

create trigger jobsetschedulingchanged
  after update on jobsets for each row
  when ((((old.triggertime is distinct from new.triggertime) and (new.triggertime is not null)) or (old.checkinterval <> new.checkinterval) or (old.enabled <> new.enabled)))
  execute function notifyjobsetschedulingchanged();

create trigger jobsetsdeleted
  after delete on jobsets for each statement
  execute function notifyjobsetsdeleted();

create trigger jobsetshareschanged
  after update on jobsets for each row
  when ((old.schedulingshares <> new.schedulingshares))
  execute function notifyjobsetshareschanged();

create trigger buildbumped
  after update on builds for each row
  when ((old.globalpriority <> new.globalpriority))
  execute function notifybuildbumped();

create trigger buildcancelled
  after update on builds for each row
  when (((old.finished = 0) and (new.finished = 1) and (new.buildstatus = 4)))
  execute function notifybuildcancelled();

create trigger buildrestarted
  after update on builds for each row
  when (((old.finished = 1) and (new.finished = 0)))
  execute function notifybuildrestarted();

create trigger buildsdeleted
  after delete on builds for each statement
  execute function notifybuildsdeleted();

create trigger nrbuildsfinished
  after insert or delete or update on builds for each row
  execute function modifynrbuildsfinished();

insert into schemaversion (version) values (87);
`;
